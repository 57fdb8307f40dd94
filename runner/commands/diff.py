"""`runner diff A B`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.commands.options import echo_json, json_option, open_reconciled, store_option, table

if TYPE_CHECKING:
    from store import Run

_SECTIONS = {"git": "code", "packages": "environment", "data": "data", "merge": "recipe"}


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@json_option
@store_option
def command(a: str, b: str, as_json: bool, store_path: Path | None) -> None:
    """What differs between runs A and B: recipe, code, environment and data. What is the same is not shown."""
    from store import get_run

    store = open_reconciled(store_path)
    run_a, run_b = get_run(store, a), get_run(store, b)
    differences = diff_runs(run_a, run_b)
    if as_json:
        echo_json({"a": run_a.id, "b": run_b.id, "differences": differences})
        return
    click.echo(f"A {run_a.name} ({run_a.id})\nB {run_b.name} ({run_b.id})")
    if not any(differences.values()):
        click.echo("\nno difference in recipe, code, environment or data")
    for section, rows in differences.items():
        if rows:
            cells = [[row["path"], _shown(row["a"]), _shown(row["b"])] for row in rows]
            click.echo(f"\n{section}\n" + table(["", "A", "B"], cells))
        else:
            click.echo(f"\n{section}: same")


def diff_runs(a: "Run", b: "Run") -> dict[str, list[dict[str, Any]]]:
    """Section (recipe, code, environment, data) → rows {path, a, b}, only what differs."""
    from runner.provenance import diff_provenance

    sections: dict[str, list[dict[str, Any]]] = {"recipe": [], "code": [], "environment": [], "data": []}
    flat_a, flat_b = flatten(a.recipe or {}), flatten(b.recipe or {})
    for path in sorted(flat_a.keys() | flat_b.keys()):
        if flat_a.get(path) != flat_b.get(path):
            sections["recipe"].append({"path": path, "a": flat_a.get(path), "b": flat_b.get(path)})
    for difference in diff_provenance(a.provenance or {}, b.provenance or {}):
        top = difference.path.split(".")[0]
        if top in ("command", "overrides"):
            continue  # they say what the recipe says
        section = _SECTIONS.get(top, "environment")
        sections[section].append({"path": difference.path, "a": difference.a, "b": difference.b})
    return sections


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted paths.

    >>> flatten({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _shown(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
