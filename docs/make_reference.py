"""Writes docs/reference/ from the code: the command line, the recipe's fields, the store's tables and views.

python docs/make_reference.py            # writes
python docs/make_reference.py --check    # exit code 1 when a page is out of date
"""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

FOLDER = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/make_reference.py from the code. Edit the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """File name → text of every reference page."""
    return {"cli.md": cli_page(), "recipe.md": recipe_page(), "store.md": store_page()}


def cli_page() -> str:
    """`--help` of every command."""
    from runner.cli import cli

    blocks = [f"## {name}\n\n```text\n{text}\n```\n" for name, text in _helps("runner", cli)]
    return f"# Command line\n\n{_NOTE}" + "\n".join(blocks)


def _helps(name: str, command: click.Command) -> Iterator[tuple[str, str]]:
    with click.Context(command, info_name=name, max_content_width=100, terminal_width=100) as context:
        yield name, command.get_help(context)
        if isinstance(command, click.Group):
            for sub in command.list_commands(context):
                child = command.get_command(context, sub)
                assert child is not None
                yield from _helps(f"{name} {sub}", child)


def recipe_page() -> str:
    """Every field of a recipe."""
    from runner.recipe import recipe_fields

    lines = ["| field | type | default | what it is |", "|---|---|---|---|"]
    for row in recipe_fields():
        cells = (f"`{row.path}`", row.type, f"`{row.default}`" if row.default else "", row.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    head = (
        'A recipe is a TOML file. `base = "other.toml"` inherits from another, `--set a.b=value` overrides, '
        "unknown keys are refused. `runner recipe schema` prints the JSON Schema for editors.\n\n"
    )
    return f"# Recipe\n\n{_NOTE}{head}" + "\n".join(lines) + "\n"


def store_page() -> str:
    """Every table and view as SQLite knows it."""
    from store import open_store

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "empty.db")
        rows = store.db.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type IN ('table', 'view')"
            " AND name NOT LIKE 'examples_fts_%' ORDER BY type DESC, rowid"
        ).fetchall()
        store.close()
    views = [f"### {name}\n\n```sql\n{_dedent(sql)}\n```\n" for kind, name, sql in rows if kind == "view"]
    tables = [f"### {name}\n\n```sql\n{_dedent(sql)}\n```\n" for kind, name, sql in rows if kind == "table"]
    return (
        f"# Store\n\n{_NOTE}One SQLite file. Open it with anything: the views are made for people.\n\n"
        + "## Views\n\n"
        + "\n".join(views)
        + "\n## Tables\n\n"
        + "\n".join(tables)
    )


def _dedent(sql: str) -> str:
    return re.sub(r"[ \t]+\n", "\n", sql.strip())


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    stale = []
    for name, text in pages().items():
        path = FOLDER / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text)
    if stale and "--check" in sys.argv:
        print(f"out of date: {', '.join(stale)}; run `make docs`")  # noqa: T201 - a script's own output
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
