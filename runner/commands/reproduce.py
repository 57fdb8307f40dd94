"""`runner reproduce RUN`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from runner.commands.options import echo_json, number, open_reconciled, store_option, table

if TYPE_CHECKING:
    from runner.reproduce import Comparison
    from store import Run


@click.command("reproduce")
@click.argument("run", metavar="RUN")
@click.option("--quiet", is_flag=True, help="Show warnings and the answer only.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar (the default when not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON (and nothing else on stdout).")
@store_option
def command(run: str, quiet: bool, plain: bool, as_json: bool, store_path: Path | None) -> None:
    """Run RUN again, from its recorded recipe and dataset version, and say whether the same came out.

    The answer is equal (bit for bit), within noise (paired tests cannot tell the two apart), different, or unknown
    (not equal, and no predictions to test). The new run has the tag `reproduction`. See docs/recovery.md.

    Exit codes: 0 equal or within noise, 1 different, unknown, or it failed.
    """
    store = open_reconciled(store_path)
    from runner.location import model_location
    from runner.resume import read_recorded
    from store import get_run

    original = get_run(store, run)
    model = read_recorded(store, original).loaded.recipe.model
    model_location(model.base, model.revision)  # all this before torch is loaded
    from runner.commands.diff import diff_runs
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries
    from runner.reproduce import compare_runs, reproduce

    quiet_libraries()
    mode: Literal["auto", "plain", "quiet"] = "quiet" if quiet else "plain" if plain else "auto"
    again = reproduce(store, original, make_progress(mode))
    comparison, sections = compare_runs(store, original, again), diff_runs(original, again)
    differences = {name: rows for name, rows in sections.items() if name != "recipe"}  # its name, note and tags
    if as_json:
        echo_json(_as_dict(original, again, comparison, differences))
    else:
        click.echo(_describe(original, again, comparison, differences))
    if again.status == "killed":
        sys.exit(130)
    if comparison.answer not in ("equal", "within noise"):
        sys.exit(1)


def _as_dict(original: "Run", again: "Run", comparison: "Comparison", differences: dict[str, Any]) -> dict[str, Any]:
    return {
        "original": original.id,
        "reproduction": again.id,
        "status": again.status,
        "answer": comparison.answer,
        "sentence": comparison.sentence,
        "values": comparison.n_values,
        "unequal": comparison.n_unequal,
        "scores": [{**row._asdict(), "is_noise": row.is_noise} for row in comparison.scores],
        "differences": differences,
    }


def _describe(original: "Run", again: "Run", comparison: "Comparison", differences: dict[str, Any]) -> str:
    blocks = [
        f"original      {original.name} ({original.id})\nreproduction  {again.name} ({again.id})",
        f"{comparison.answer}: {comparison.sentence}",
    ]
    if comparison.scores:
        rows = [
            [
                row.split,
                row.metric,
                number(row.original, 4),
                number(row.reproduction, 4),
                f"{row.difference:+.4f}",
                f"{row.low:+.4f} to {row.high:+.4f}",
                "" if row.is_noise else "can be told apart",
            ]
            for row in comparison.scores
        ]
        headers = ["split", "metric", "original", "again", "difference", "95 % interval", ""]
        blocks.append(table(headers, rows, right=(2, 3, 4)))
    for name, rows_of in differences.items():
        if rows_of:
            cells = [[row["path"], _shown(row["a"]), _shown(row["b"])] for row in rows_of]
            blocks.append(f"{name} differs\n" + table(["", "original", "again"], cells))
    if not any(differences.values()):
        blocks.append("code, environment and data are the same")
    return "\n\n".join(blocks)


def _shown(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
