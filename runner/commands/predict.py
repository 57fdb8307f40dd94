"""`runner predict RUN [FILE]`."""

import re
import sys
from pathlib import Path

import click

from runner.commands.options import echo_json, json_option, open_reconciled, store_option


@click.command("predict")
@click.argument("run")
@click.argument("file", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the answers go: .jsonl, .csv or .parquet (default: stdout)."
)
@click.option("--to-dataset", metavar="NAME", help="Keep the answers as the targets of a new dataset version.")
@click.option("--top-k", type=click.IntRange(1), help="Only the likeliest labels of each row.")
@click.option("--split", help="Of the stored dataset: train, validation or test.")
@click.option("--text-column", help="The column of the texts, or of the words (default: as in the run's recipe).")
@click.option("--pair-column", help="The column of the second texts (default: as in the run's recipe).")
@click.option("--encoding", help="Of the file (default: as in the run's recipe).")
@click.option("--batch-size", type=click.IntRange(1), help="Texts at a time (default: evaluation.batch_size).")
@click.option("--checkpoint", "step", type=click.IntRange(0), metavar="STEP", help="Instead of the best one.")
@click.option("--device", help="cpu, cuda, cuda:0, … (default: the best there is).")
@json_option
@store_option
def command(
    run: str,
    file: str | None,
    out: Path | None,
    to_dataset: str | None,
    top_k: int | None,
    split: str | None,
    text_column: str | None,
    pair_column: str | None,
    encoding: str | None,
    batch_size: int | None,
    step: int | None,
    device: str | None,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Say what RUN's best checkpoint predicts: labels with probabilities, a number, or spans of words.

    FILE is a .csv, .tsv, .jsonl or .parquet file (for words also CoNLL), - for stdin (a text a line, or JSON objects),
    or dataset:NAME@VERSION with --split; without FILE, --split is of the run's own dataset. One answer a row, in order;
    a row without a text gets null. --json prints a summary.
    """
    if as_json and out is None and to_dataset is None:
        raise click.UsageError("--json prints a summary, and without --out the answers themselves go to stdout.")
    if to_dataset is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", to_dataset):
        raise click.UsageError(f'--to-dataset {to_dataset}: use up to 100 letters, digits, ".", "_" and "-".')
    from runner.inputs import check_out, choose_checkpoint, open_texts
    from store import get_run

    store = open_reconciled(store_path)
    found = get_run(store, run)
    if out is not None:
        check_out(out)
    choose_checkpoint(store, found, step)  # this and the texts before torch is loaded: a mistake is said at once
    texts = open_texts(
        store, found, file, split=split, text_column=text_column, pair_column=pair_column, encoding=encoding
    )

    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.answer_files import writers
    from runner.interrupts import Interrupted, held_interrupts
    from runner.predict import load_predictor, write_predictions

    made = None
    try:
        with held_interrupts() as interrupts, interrupts.let_through(), make_progress("auto") as progress:
            predictor = load_predictor(store, found, step=step, device=device, batch_size=batch_size, top_k=top_k)
            folder = store.files / "cache" / "answers"
            with writers(out, folder if to_dataset else None, predictor.answers, texts, split or "train") as writer:
                done = write_predictions(predictor, texts, writer, progress)
                if to_dataset:
                    made = writer.record(store, to_dataset, found, predictor.checkpoint.step, texts.title)
            for n, what in (
                (done.n_without_text, "have no text: their label is null"),
                (done.n_truncated, f"are longer than {predictor.max_length} tokens and were cut"),
            ):
                if n:
                    progress.warning(f"{n:,} of {done.n_rows:,} rows {what}")
    except Interrupted:
        click.echo("interrupted: nothing was written" if out else "interrupted", err=True)
        sys.exit(130)
    if as_json:
        written = {"out": str(out) if out else None, "dataset": str(made) if made else None}
        echo_json({**done._asdict(), "run": found.id, "step": predictor.checkpoint.step, **written})
        return
    if made is not None:
        click.echo(f"{sum(made.n_rows.values()):,} rows with answers as targets: dataset {made}")
    if out is not None:
        click.echo(f"{done.n_rows:,} rows by step {predictor.checkpoint.step:,} of {found.name} ({found.id}): {out}")
