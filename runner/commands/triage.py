"""`runner triage RUN… | --dataset NAME`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from runner.commands.options import echo_json, open_reconciled, store_option, table
from runner.paths import on_store

if TYPE_CHECKING:
    from runner.triage.conditions import ConditionError
    from runner.triage.gates import Verdict
    from runner.triage.identity import Identity
    from store import Dataset, Store, Triage


@click.command("triage")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--dataset", metavar="NAME[@V]", help="Look at a stored data set, by what all its runs say (or none).")
@click.option("--fresh", is_flag=True, help="Compute everything again.")
@click.option("--no-canaries", is_flag=True, help="Flip no labels on purpose in a copy: no score is measured.")
@click.option("--model", metavar="BASE", help="Encoder of the texts, as model.base in a recipe.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of folds and canaries.")
@click.option("--fail-if", "conditions", multiple=True, metavar="EXPR", help="Exit with 1 if so: 'label_errors > 2 %'.")
@click.option("--policy", type=click.Path(path_type=Path), help="A TOML file of such conditions; see docs/triage.md.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write the conditions as JUnit XML.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a report: one HTML file.")
@click.option("--quiet", is_flag=True, help="Show warnings and the result only.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar (the default when not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON (and nothing else on stdout).")
@store_option
def command(
    runs: tuple[str, ...],
    dataset: str | None,
    fresh: bool,
    no_canaries: bool,
    model: str | None,
    seed: int,
    conditions: tuple[str, ...],
    policy: Path | None,
    junit: Path | None,
    report: Path | None,
    quiet: bool,
    plain: bool,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Find the training examples that hurt: wrong labels, duplicates, leaks, outliers, gaps; see docs/triage.md.

    Looks at the data set of RUNs, or at --dataset, by all that is known of it, and keeps what it finds in the store for
    the dashboard's Triage page. The same command again shows what is there, or goes on where it was stopped.

    Exit codes: 0 done and every --fail-if passed; 1 one did not (what was not measured does not pass), or it failed; 2
    bad input.
    """
    from runner.triage.conditions import ConditionError, parse_conditions

    try:
        wanted = parse_conditions(conditions, policy)
    except ConditionError as error:
        raise _with_those_of_the_data(error, store_path, runs, dataset) from None
    check_folders(report=report, junit=junit)
    if junit is not None and not wanted:
        raise click.UsageError("--junit writes what became of conditions: name some with --fail-if or --policy.")
    store = open_reconciled(store_path)
    from runner.triage.identity import Identity, Options
    from runner.triage.sources import find_sources
    from store import find_triage

    sources = find_sources(store, runs, dataset)
    identity = Identity(store, sources, Options(with_canaries=not no_canaries, model=model, seed=seed))
    if wanted:
        from runner.triage.gates import check_conditions

        check_conditions(store, sources.dataset, wanted)
    known = None if fresh else find_triage(store, sources.dataset.key, identity.fingerprint)
    triage = known or _compute(identity, is_fresh=fresh, mode="quiet" if quiet else "plain" if plain else "auto")
    verdicts: list[Verdict] = []
    if triage.status == "finished":
        from runner.triage.gates import judge

        verdicts = judge(store, triage, sources.dataset, wanted)
        _write_files(store, triage, sources.dataset, verdicts, report=report, junit=junit)
    if as_json:
        echo_json(as_dict(triage, sources.dataset, verdicts, is_new=known is None))
    else:
        click.echo(
            text_of(store, triage, sources.dataset, verdicts, is_new=known is None), err=triage.status != "finished"
        )
    if triage.status == "killed":
        sys.exit(130)
    if triage.status != "finished" or any(verdict.blocks for verdict in verdicts):
        sys.exit(1)


def _with_those_of_the_data(
    error: "ConditionError", store_path: Path | None, runs: tuple[str, ...], dataset: str | None
) -> "ConditionError":
    """What is wrong with the conditions, and what those that were understood ask of splits and fields that are not
    there; where the data cannot be found, that is another matter."""
    from runner.errors import UserError
    from runner.triage.conditions import ConditionError
    from runner.triage.gates import check_conditions
    from runner.triage.sources import find_sources
    from store import StoreError

    try:
        store = open_reconciled(store_path)
        check_conditions(store, find_sources(store, runs, dataset).dataset, error.understood)
    except ConditionError as more:
        return ConditionError(f"{error}\n{more}")
    except (UserError, StoreError, click.ClickException):
        return error
    return error


def check_folders(**files: Path | None) -> None:
    """Raise UserError about every file that cannot be written, before minutes of work."""
    from runner.errors import UserError

    problems = [
        f"--{option} {file}: there is no folder {file.expanduser().absolute().parent}."
        for option, file in files.items()
        if file is not None and not file.expanduser().absolute().parent.is_dir()
    ]
    if problems:
        raise UserError("\n".join(problems))


def _compute(identity: "Identity", *, is_fresh: bool, mode: Literal["auto", "plain", "quiet"]) -> "Triage":
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.triage.carry_out import carry_out

    return carry_out(identity, make_progress(mode), is_fresh=is_fresh)


def _write_files(
    store: "Store",
    triage: "Triage",
    dataset: "Dataset",
    verdicts: "list[Verdict]",
    *,
    report: Path | None,
    junit: Path | None,
) -> None:
    if junit is not None:
        from runner.triage.junit import write_junit

        write_junit(junit.expanduser(), str(dataset), verdicts, _seconds(triage))
    if report is not None:
        from runner.triage.report import write_report

        write_report(report.expanduser(), store, triage, dataset, verdicts)


def _seconds(triage: "Triage") -> float:
    return (triage.ended_at or triage.created_at) - triage.created_at


def as_dict(triage: "Triage", dataset: "Dataset", verdicts: "list[Verdict]", *, is_new: bool) -> dict[str, Any]:
    """What a program may want to know."""
    from runner.triage.sentences import sentences

    is_done = triage.status == "finished"
    return {
        "id": triage.id,
        "dataset": str(dataset),
        "status": triage.status,
        "cause": triage.cause,
        "is_new": is_new,
        "sentences": sentences(triage.summary) if is_done else [],
        "summary": dict(triage.summary),
        "sources": list(triage.sources),
        "passed": not any(verdict.blocks for verdict in verdicts) if verdicts else None,
        "conditions": [
            {
                "name": verdict.condition.name,
                "condition": verdict.condition.text,
                "severity": verdict.condition.severity,
                "result": verdict.result,
                "found": verdict.said,
            }
            for verdict in verdicts
        ],
    }


def text_of(store: "Store", triage: "Triage", dataset: "Dataset", verdicts: "list[Verdict]", *, is_new: bool) -> str:
    """What a person wants to know, and what to do next."""
    head = f"{dataset}, triage {triage.id}"
    if triage.status != "finished":
        return f"{head} {triage.status}: {triage.cause}. The same command goes on with it."
    from runner.triage.sentences import sentences

    listened = _listened(triage)
    lines = [f"{head}{'' if is_new else ', as it was computed before'}{f': {listened}' if listened else ''}"]
    lines += ["", *sentences(triage.summary), ""]
    lines += [_table(store, triage)] if triage.summary.get("findings") else []
    lines += [_verdict_line(verdict) for verdict in verdicts]
    look = on_store("runner dashboard", store.path)
    lines += ["", f"Next: `{look}`, page Triage: look at the worst, decide, make a corrected version."]
    return "\n".join(lines)


def _listened(triage: "Triage") -> str:
    """To whom it listened."""
    names = [str(source["name"]) for source in triage.sources if source["kind"] == "run"]
    folds = sum(source["kind"] == "opinion" for source in triage.sources)
    encoder = next((str(source["name"]) for source in triage.sources if source["kind"] == "encoder"), None)
    parts = [
        f"{len(names)} runs" if len(names) > 3 else ", ".join(names),
        "" if not folds else f"{folds} {'cross-validation' if folds == 1 else 'cross-validations'}",
        "" if encoder is None else f"vectors of {encoder}",
    ]
    return ", ".join(part for part in parts if part)


def _table(store: "Store", triage: "Triage") -> str:
    """How many findings of each kind, by split, in the order of the table of detectors."""
    from evals.triage.findings import DETECTORS
    from store import count_findings

    counts = count_findings(store, triage.key)
    splits = sorted(counts["split"].unique(), key=lambda split: (split != "train", split))
    of_kind: dict[str, dict[str, int]] = {}
    for kind, split, n in zip(counts["kind"], counts["split"], counts["n"].tolist(), strict=True):
        of_kind.setdefault(kind, {})[split] = n
    rows = []
    for detector in DETECTORS:
        found, n = of_kind.get(detector.kind, {}), triage.summary["findings"].get(detector.kind, 0)
        if n:
            by_split = [f"{found[split]:,}" if split in found else "" for split in splits]
            rows.append([detector.title, f"{n:,}", *by_split, "groups" if detector.is_of_groups else ""])
    headers = ["finding", "n", *(f"in {split}" for split in splits), ""]
    return table(headers, rows, right=tuple(range(1, 2 + len(splits))))


def _verdict_line(verdict: "Verdict") -> str:
    word = {"passed": "passed", "failed": "FAILED", "unknown": "NOT MEASURED"}[verdict.result]
    if verdict.result != "passed" and not verdict.blocks:
        word = f"warning ({word.lower()})"
    name = "" if verdict.condition.name == verdict.condition.text else f"{verdict.condition.name}, "
    return f"{word}: {name}{verdict.condition.text}: {verdict.said}."
