"""A label quality report: one HTML file that needs nothing else, for light, dark and paper. Loads no torch.

Everything that comes from data is escaped; the file runs no script and loads nothing.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from evals.triage.findings import DETECTORS, Detector
from evals.triage.phrases import counted, evidence_words
from runner.triage.gates import Verdict
from runner.triage.report_style import STYLE
from runner.triage.sentences import about, percent, sentences
from store import Dataset, Store, Triage, count_findings, list_findings, list_groups, list_queue, read_rows

MOST_QUEUED, MOST_FINDINGS, MOST_GROUPS, MOST_CLASSES, MOST_CHARACTERS = 50, 10, 20, 20, 400

Html = str


def write_report(path: Path, store: Store, triage: Triage, dataset: Dataset, verdicts: Sequence[Verdict]) -> None:
    """Write the report of a finished triage, in its place only when it is whole."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(report_html(store, triage, dataset, verdicts), encoding="utf-8", errors="replace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def report_html(store: Store, triage: Triage, dataset: Dataset, verdicts: Sequence[Verdict] = ()) -> Html:
    """The whole page."""
    title = f"{dataset}: label quality"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(triage.ended_at or triage.created_at))
    sections = (
        _section("Conditions", _verdicts(verdicts)),
        _section("Which labels are taken for which", _pairs(triage.summary)),
        _section("Each class", _classes(triage.summary)),
        _section(f"The first {MOST_QUEUED} to look at", _queue(store, triage, dataset)),
        _section("Findings", "".join(_findings(store, triage, dataset))),
        _section("What each score is worth on this data", _scores(triage)),
        _section("What this is made of", _made_of(triage, dataset)),
    )
    said = "".join(f"<p>{escape(each)}</p>" for each in sentences(triage.summary))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>"
        f'<p class="quiet">{escape(when)}, {_sizes(dataset)}, triage {escape(triage.id)}</p>'
        f'<div class="said">{said}</div>{"".join(sections)}</main></body></html>\n'
    )


def _section(title: str, body: Html) -> Html:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _sizes(dataset: Dataset) -> Html:
    return escape(", ".join(f"{n:,} {split}" for split, n in dataset.n_rows.items()) + " examples")


def table_html(headers: Sequence[str], rows: Iterable[Sequence[Html]], *, numbers: Sequence[int] = ()) -> Html:
    """A table; cells are HTML already, the columns in `numbers` stand to the right."""
    kinds = [' class="n"' if i in numbers else "" for i in range(len(headers))]
    head = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(headers, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: float | None, digits: int = 2) -> Html:
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def _ends(row: Mapping[str, Any], digits: int = 0) -> Html:
    return f"{_number(row.get('low'), digits)} to {_number(row.get('high'), digits)}"


# the parts -----------------------------------------------------------------------------------------------------------


def _verdicts(verdicts: Sequence[Verdict]) -> Html:
    words = {"passed": "passed", "failed": "failed", "unknown": "not measured"}
    rows = [
        [
            f'<b class="{_colour(verdict)}">{words[verdict.result]}</b>',
            escape(verdict.condition.name),
            f"<code>{escape(verdict.condition.text)}</code>",
            escape(verdict.said),
            escape(verdict.condition.severity),
        ]
        for verdict in verdicts
    ]
    return table_html(["result", "name", "fails if", "found", "severity"], rows) if rows else ""


def _colour(verdict: Verdict) -> str:
    """A warning that is so, or was not measured, is neither good nor in the way."""
    return "bad" if verdict.blocks else "good" if verdict.result == "passed" else "unsure"


def _pairs(summary: Mapping[str, Any]) -> Html:
    """Given against likely: a matrix of the classes with the most wrong labels."""
    pairs = (summary.get("labels") or {}).get("pairs") or []
    if not pairs:
        return ""
    table = pd.DataFrame(pairs)
    weight = pd.concat([table.groupby("given")["n"].sum(), table.groupby("likely")["n"].sum()], axis=1).sum(axis=1)
    names = weight.nlargest(MOST_CLASSES).index.tolist()
    n = {(row["given"], row["likely"]): row for row in pairs}
    most = max(row["n"] for row in pairs)
    rows = []
    for given in names:
        cells = [f"<b>{escape(given)}</b>"]
        for likely in names:
            row = n.get((given, likely))
            cells.append("" if row is None else _shaded(row["n"] / most, f"{row['n']:,.0f}", _ends(row)))
        rows.append(cells)
    note = "Expected numbers of wrong labels. Rows: the label that is given; columns: the likely one."
    if len(weight) > MOST_CLASSES:
        note += f" The {len(names)} of {len(weight)} classes with the most."
    matrix = table_html(["", *names], rows, numbers=range(1, 1 + len(names)))
    return f'<p class="quiet">{escape(note)}</p><div class="matrix">{matrix}</div>'


def _shaded(share: float, text: Html, title: str) -> Html:
    return f'<span class="cell" style="--share:{max(0.0, min(1.0, share)):.2f}" title="{escape(title)}">{text}</span>'


def _classes(summary: Mapping[str, Any]) -> Html:
    classes = (summary.get("labels") or {}).get("by_class") or []
    rows = [
        [
            escape(str(row["label"])),
            _number(row.get("n"), 0),
            _number(row.get("n_errors"), 0),
            percent(row.get("rate")),
            f"{percent(row.get('low'))} to {percent(row.get('high'))}",
        ]
        for row in classes
    ]
    headers = ["class", "examples", "wrong labels", "share", "95 % interval"]
    return table_html(headers, rows, numbers=(1, 2, 3, 4)) if rows else ""


def _queue(store: Store, triage: Triage, dataset: Dataset) -> Html:
    page = list_queue(store, triage, dataset, limit=MOST_QUEUED)
    page = page[page["risk"].notna()]
    rows = [
        [
            _where(row),
            _text(row["text"]),
            escape(_plain(row["label"])),
            _suggestion(row),
            _number(row["risk"]),
            _doubts(row),
        ]
        for row in page.to_dict("records")
    ]
    headers = ["where", "text", "label", "suggested", "risk", "doubted by"]
    return table_html(headers, rows, numbers=(4,)) if rows else ""


def _where(row: Mapping[Any, Any]) -> Html:
    return f'<span class="where">{escape(str(row["split"]))} {row["position"]:,}</span>'


def _suggestion(row: Mapping[Any, Any]) -> Html:
    label = _plain(row["suggested_label"])
    if not label:
        return ""
    if label == _plain(row["label"]):
        return "keep"
    return f"{escape(label)} ({_number(row['suggested_probability'])})"


def _doubts(row: Mapping[Any, Any]) -> Html:
    n = row["n_voices"]
    return f"{int(row['n_doubting'])} of {int(n)}" if n == n and n else ""


def _findings(store: Store, triage: Triage, dataset: Dataset) -> Iterator[Html]:
    """Each kind with its worst examples or groups; label errors have a section of their own."""
    counts = count_findings(store, triage.key)
    for detector in DETECTORS:
        where = counts[counts["kind"] == detector.kind]
        n = int(where["n"].sum()) or len(list_groups(store, triage.key, detector.kind))
        if not n or detector.kind == "label_error":
            continue
        splits = ", ".join(f"{n:,} in {split}" for split, n in zip(where["split"], where["n"], strict=True))
        yield f"<h3>{escape(counted(detector.kind, n))}</h3>"
        yield f'<p class="quiet">{escape(splits + ". " if splits else "")}{escape(detector.to_do)}</p>'
        yield _examples(store, triage, dataset, detector)
        yield _groups(store, triage, detector)


def _examples(store: Store, triage: Triage, dataset: Dataset, detector: Detector) -> Html:
    found = list_findings(store, triage.key, kind=detector.kind, limit=MOST_FINDINGS)
    if found.empty:
        return ""
    texts = {
        (split, row["position"]): row
        for split, part in found.groupby("split")
        for row in read_rows(store, dataset, str(split), positions=part["position"].tolist()).to_dict("records")
    }
    rows = []
    for row in found.to_dict("records"):
        example = texts[row["split"], row["position"]]
        rows.append(
            [
                _where(row),
                _text(example["text"]),
                escape(_plain(example["label"])),
                _number(row["risk"]),
                escape(evidence_words(detector.kind, row["evidence"], dataset.label_names or ())),
            ]
        )
    return table_html(["where", "text", "label", "risk", "why"], rows, numbers=(3,))


def _groups(store: Store, triage: Triage, detector: Detector) -> Html:
    found = list_groups(store, triage.key, detector.kind).head(MOST_GROUPS)
    rows = [
        [escape(row["name"]), f"{row['n']:,}", _number(row["risk"]), escape(_listed_evidence(row["evidence"]))]
        for row in found.to_dict("records")
    ]
    return table_html(["group", "examples", "risk", "evidence"], rows, numbers=(1, 2)) if rows else ""


def _listed_evidence(evidence: Mapping[str, Any]) -> str:
    def said(value: Any) -> str:
        if isinstance(value, list | tuple):
            return "; ".join(said(each) for each in value)
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return ", ".join(f"{name.replace('_', ' ')} {said(value)}" for name, value in evidence.items() if value is not None)


def _scores(triage: Triage) -> Html:
    labels = triage.summary.get("labels") or {}
    scores, n = labels.get("scores") or [], (labels.get("canaries") or {}).get("n", 0)
    rows = [
        [
            _score_name(row["score"], triage, is_default=row["score"] == labels["default"]),
            _number(row.get("average_precision")),
            f"{_number(row.get('low'))} to {_number(row.get('high'))}",
            _number(row.get("precision_at_100")),
            _number(row.get("precision_at_errors")),
            "yes" if row.get("in_sample") else "no",
        ]
        for row in scores
    ]
    if not rows:
        return ""
    note = (
        f"By {n:,} labels that were flipped on paper; scores that saw the labels, by those of them that were flipped "
        f"in a copy, which was trained on and thrown away. The queue is sorted by {labels['default']}. Real errors may "
        "be harder to see."
        if n
        else "No labels were flipped, so nothing was measured."
    )
    headers = ["score", "average precision", "95 % interval", "precision at 100", "at the errors", "saw the labels"]
    return f'<p class="quiet">{escape(note)}</p>' + table_html(headers, rows, numbers=(1, 2, 3, 4))


def _score_name(score: str, triage: Triage, *, is_default: bool) -> Html:
    """`area_under_margin@RUN_ID` in words: the score of that run, by its name."""
    name, _, voice = score.partition("@")
    names = {str(source.get("id")): f"{source['name']} ({source['id']})" for source in triage.sources if "id" in source}
    said = name.replace("_", " ") + (f" of {names.get(voice, voice)}" if voice else "")
    return f"<b>{escape(said)}</b>" if is_default else escape(said)


def _made_of(triage: Triage, dataset: Dataset) -> Html:
    sources = [f"{source['kind']} {source['name']} ({source.get('id', 'no id')})" for source in triage.sources]
    missing = triage.summary.get("missing") or {}
    versions = ", ".join(f"{name} {number}" for name, number in triage.versions.items())
    facts = {
        "data set": f"{dataset}, fingerprint {dataset.fingerprint}",
        "listened to": "; ".join(sources) or "the texts alone",
        "voices": ", ".join((triage.summary.get("labels") or {}).get("voices", [])) or "none",
        "errors": about((triage.summary.get("labels") or {}).get("n_errors")),
        "not looked for": "; ".join(f"{kind} (no {', '.join(lacks)})" for kind, lacks in missing.items()) or "nothing",
        "versions": versions,
        "made by": f"Assay {_version()}",
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"<dl>{items}</dl>"


def _version() -> str:
    try:
        return version("assay")
    except PackageNotFoundError:
        return "unknown"


def _text(text: object) -> Html:
    line = " ".join(str(text).split())
    shown = line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"
    return f'<span class="text">{escape(shown)}</span>'


def _plain(value: object) -> str:
    return "" if value is None or value != value else str(value)
