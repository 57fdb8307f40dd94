"""Sentences with their spans marked: what is given above what a model says. Every word and type is escaped."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import pandas as pd

from dashboard.charts.palette import COLOURS, MUTED
from dashboard.formats import count
from evals.tags import Span
from evals.triage.spans import SpanError, SpanKind, compare_spans

TOKENS_SHOWN = 160
"""Of a sentence in a list; what lies behind is left out, unless a span is there."""


def is_span_target(target: object) -> bool:
    """Whether a stored target is of spans; a sentence without any looks like a text without labels.

    >>> is_span_target("[[0, 1, 0]]"), is_span_target("[]"), is_span_target("[0, 1]"), is_span_target(2)
    (True, True, False, False)
    """
    return isinstance(target, str) and (target == "[]" or target.startswith("[["))


class Marked(NamedTuple):
    """A span with its probability, where one is known."""

    span: Span
    p: float | None = None


def marked(items: Iterable[Sequence[float]], names: Sequence[str]) -> list[Marked]:
    """Spans as the store has them: [first word, word after the last, type], and a probability where one is known.

    >>> marked([[0, 2, 1, 0.5]], ["LOC", "PER"])
    [Marked(span=Span(start=0, end=2, tag='PER'), p=0.5)]
    """
    return [
        Marked(Span(int(start), int(end), names[int(at)]), p[0] if p else None) for start, end, at, *p in items
    ]  # fmt: skip


def differences(given: Iterable[Marked], said: Iterable[Marked]) -> list[SpanError]:
    """What is not the same in both."""
    return compare_spans([each.span for each in given], [each.span for each in said])


def difference_words(errors: Sequence[SpanError]) -> str:
    """Differences in words, the same ones counted.

    >>> difference_words(differences(marked([[0, 1, 0]], ["LOC"]), marked([[4, 5, 0], [7, 8, 0]], ["LOC"])))
    'missed LOC, 2 × ghost LOC'
    >>> difference_words([])
    'all spans right'
    """
    said = [_words(error) for error in errors]
    return ", ".join(
        f"{count(n)} × {each}" if (n := said.count(each)) > 1 else each for each in dict.fromkeys(said)
    ) or ("all spans right")


def _words(error: SpanError) -> str:
    span = error.given or error.predicted
    assert span is not None, "an error is of one span or of two"
    becomes = f" → {error.predicted.tag}" if error.predicted and error.predicted.tag != span.tag else ""
    return f"{error.kind.value} {span.tag}{becomes}"


def sentence_html(tokens: Sequence[str], lines: Mapping[str, Sequence[Marked]], names: Sequence[str]) -> str:
    """The sentence once for each line (title → spans). A span that another line lacks has a dashed line below it.

    >>> html = sentence_html(["<b>", "Ann"], {"given": [Marked(Span(1, 2, "PER"))], "model": []}, ["PER"])
    >>> "&lt;b&gt;" in html, html.count("<mark"), "is-alone" in html
    (True, 1, True)
    """
    every = [{each.span for each in spans} for spans in lines.values()]
    shared = set.intersection(*every) if every else set()
    shown = max([TOKENS_SHOWN, *(span.end for spans in every for span in spans)])
    rows = "".join(
        f"<tr><th>{escape(title)}</th><td>{_line(tokens[:shown], spans, shared if len(lines) > 1 else None, names)}"
        f"{' …' if len(tokens) > shown else ''}</td></tr>"
        for title, spans in lines.items()
    )
    return f'<table class="assay-spans"><tbody>{rows}</tbody></table>'


def _line(tokens: Sequence[str], spans: Sequence[Marked], shared: Collection[Span] | None, names: Sequence[str]) -> str:
    pieces, at = [], 0
    for each in sorted(spans):
        start, end, name = each.span
        pieces.append(escape(" ".join(tokens[at:start])))
        words = escape(" ".join(tokens[start:end]))
        p = "" if each.p is None else f" {each.p:.0%}"
        alone = ' class="is-alone"' if shared is not None and each.span not in shared else ""
        pieces.append(f'<mark style="--c:{colour(name, names)}"{alone}>{words}<sub>{escape(name)}{p}</sub></mark>')
        at = end
    pieces.append(escape(" ".join(tokens[at:])))
    return " ".join(filter(None, pieces))


def colour(name: str, names: Sequence[str]) -> str:
    """Of a type; after ten they repeat, and the type is written beside each span."""
    return COLOURS[names.index(name) % len(COLOURS)] if name in names else MUTED


def legend_html(names: Sequence[str], most: int = 20) -> str:
    """The types with their colours.

    >>> legend_html(["<x>"]).count("&lt;x&gt;")
    1
    """
    shown = "".join(f'<mark style="--c:{colour(name, names)}">{escape(name)}</mark> ' for name in names[:most])
    more = f"and {count(len(names) - most)} more" if len(names) > most else ""
    alone = f'<mark class="is-alone" style="--c:{MUTED}">not in the other line</mark>'
    return f'<div class="assay-spans">{shown}{more} {alone}</div>'


KINDS = ("any", "different", "right", *(kind.value for kind in SpanKind))
"""What a list of sentences can be narrowed to."""


def kinds_table(
    given: Sequence[Sequence[Sequence[float]]], said: Mapping[int, Mapping[str, Any]], names: Sequence[str]
) -> pd.DataFrame:
    """One row a sentence that a model spoke of: position, kinds (those of its differences, each once), types (of them).

    >>> kinds_table([[[0, 1, 0]], []], {0: {"spans": []}, 1: {"spans": []}}, ["LOC"]).values.tolist()
    [[0, ('missed',), ('LOC',)], [1, (), ()]]
    """
    rows = []
    for at, answer in said.items():
        errors = differences(marked(given[at], names), marked(answer["spans"], names))
        spans = [span for error in errors for span in (error.given, error.predicted) if span]
        kinds = tuple(dict.fromkeys(error.kind.value for error in errors))
        rows.append((at, kinds, tuple(dict.fromkeys(span.tag for span in spans))))
    return pd.DataFrame(rows, columns=["position", "kinds", "types"])


def fitting(table: pd.DataFrame, kind: str, type_: str | None) -> pd.DataFrame:
    """The rows of `kinds_table` of one of KINDS, and of a type.

    >>> table = pd.DataFrame([(0, ("missed",), ("LOC",)), (1, (), ())], columns=["position", "kinds", "types"])
    >>> [fitting(table, kind, None)["position"].tolist() for kind in ("any", "different", "right", "missed", "ghost")]
    [[0, 1], [0], [1], [0], []]
    """
    has = table["kinds"].map(len) > 0
    chosen = {"any": has | True, "different": has, "right": ~has}.get(kind)
    if chosen is None:
        chosen = table["kinds"].map(lambda kinds: kind in kinds).astype(bool)
    if type_ is not None:
        chosen &= table["types"].map(lambda types: type_ in types).astype(bool)
    return table[chosen]
