"""`runner doctor`."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from runner.commands.options import echo_json, json_option, open_reconciled, store_option
from runner.paths import default_store


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Skip reading every page of the store.")
@json_option
@store_option
def command(quick: bool, as_json: bool, store_path: Path | None) -> None:
    """Look over machine and store. Exit code 1 when something is broken; advice on speed alone is no failure."""
    from runner.doctor import Finding, examine_machine, examine_store

    path = default_store(store_path)
    findings: list[Finding] = examine_machine(path.expanduser().absolute().parent)
    if path.exists():
        from store import StoreError

        try:
            findings += examine_store(open_reconciled(store_path), thorough=not quick)
        except StoreError as error:  # that it cannot be opened is what one asks a doctor for
            findings.append(Finding("store", "broken", str(error)))
    else:
        findings.append(
            Finding("store", "note", f"there is no store at {path} yet; `runner train` or `runner demo` makes it")
        )
    if as_json:
        echo_json([asdict(finding) for finding in findings])
    else:
        marks = {"good": "✓", "note": "·", "slow": "!", "broken": "✕"}
        for finding in findings:
            click.echo(f"{marks[finding.level]} {finding.subject:<12} {finding.text}")
        counts = {level: sum(f.level == level for f in findings) for level in ("broken", "slow")}
        click.echo(f"\n{counts['broken']} broken, {counts['slow']} slow" if any(counts.values()) else "\nall good")
    if any(finding.level == "broken" for finding in findings):
        sys.exit(1)
