"""Prompts and answers side by side, as text that nothing in it can break out of: every character is escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import exp
from typing import Any, NamedTuple

from dashboard.formats import number
from dashboard.word_differences import stretches_html, word_differences

UNLIKELY = 0.05
"""Tokens with a smaller probability are underlined as well as coloured."""
_DARKEST_NATS = 6.0
_DARKEST_PERCENT = 62


class Column(NamedTuple):
    """A title as text, and what stands below it as HTML."""

    title: str
    html: str


def answer_html(inputs: Mapping[str, Any], columns: Sequence[Column], below: Sequence[Column] = ()) -> str:
    """What was asked above, then the columns side by side, then rows of `below`.

    >>> html = answer_html({"prompt": "<b>hi"}, [Column("given", "a"), Column("written", "b")])
    >>> "&lt;b&gt;hi" in html, html.count("<section>")
    (True, 2)
    """
    side = "".join(f"<section><h6>{escape(each.title)}</h6><p>{each.html}</p></section>" for each in columns)
    rows = "".join(f"<tr><th>{escape(each.title)}</th><td>{each.html}</td></tr>" for each in below)
    earlier = f"<table><tbody>{rows}</tbody></table>" if rows else ""
    return f'<div class="assay-answer">{asked_html(inputs)}<div class="sides">{side}</div>{earlier}</div>'


def asked_html(inputs: Mapping[str, Any]) -> str:
    """The inputs of an example: the turns of a chat each with who spoke, further texts with what they are.

    >>> asked_html({"messages": [{"role": "user", "content": "Hi"}]})
    '<div class="asked"><h6>user</h6><p>Hi</p></div>'
    """
    parts: list[tuple[str, str]] = []
    for name, value in inputs.items():
        if isinstance(value, str):
            parts.append((name, value))
        else:
            parts += [(str(turn.get("role", "")), str(turn.get("content", ""))) for turn in value]
    shown = "".join(f"<h6>{escape(title)}</h6><p>{escape(text)}</p>" for title, text in parts)
    return f'<div class="asked">{shown}</div>'


def compared_columns(given: str | None, written: str | None) -> list[Column]:
    """The right answer beside the written one, with what only one of them has marked in it."""
    if given is None or written is None:
        return [Column("given", _text_html(given)), Column("written", _text_html(written))]
    of_given, of_written = word_differences(given, written)
    return [
        Column("given", stretches_html(of_given, "lost")),
        Column("written", stretches_html(of_written, "new") or "<em>nothing</em>"),
    ]


def list_html(lines: Sequence[str]) -> str:
    """Texts below each other, numbered.

    >>> list_html(["<a>", "b"])
    '1. &lt;a&gt;\\n2. b'
    """
    return "\n".join(f"{place}. {escape(line)}" for place, line in enumerate(lines, 1))


def written_html(given: str | None, written: str | None) -> str:
    """A written answer alone, with what the right one lacks marked."""
    return compared_columns(given, written)[1].html


def tokens_html(tokens: Iterable[Sequence[Any]]) -> str:
    """Pieces of a text, each with -ln p in nats or None where nothing is said of it: the less likely, the darker.

    >>> print(tokens_html([["The", None], [" <cat>", 4.6]]))
    The <i class="is-unlikely" style="--a:48%" title="p = 0.010">&lt;cat&gt;</i>
    """
    found = []
    for text, nats in tokens:
        words = str(text).lstrip()
        found.append(escape(str(text)[: len(str(text)) - len(words)]))
        if nats is None or not words:
            found.append(escape(words))
            continue
        p, shade = exp(-float(nats)), round(_DARKEST_PERCENT * min(1.0, float(nats) / _DARKEST_NATS))
        kind = ' class="is-unlikely"' if p < UNLIKELY else ""
        found.append(f'<i{kind} style="--a:{shade}%" title="p = {number(p)}">{escape(words)}</i>')
    return "".join(found)


def legend_html(*, has_tokens: bool) -> str:
    """What the marks mean."""
    if has_tokens:
        scale = "".join(f'<i style="--a:{shade}%"> {p} </i>' for p, shade in (("1", 0), (".3", 12), (".05", 31)))
        rare = f'<i class="is-unlikely" style="--a:{_DARKEST_PERCENT}%"> below .01 </i>'
        return f'<div class="assay-answer legend">probability of each token of the text {scale}{rare}</div>'
    lost = '<mark class="is-lost">given, but not written</mark>'
    new = '<mark class="is-new">written, but not given</mark>'
    return f'<div class="assay-answer legend">{lost} {new}</div>'


def _text_html(text: str | None) -> str:
    return "<em>not asked for</em>" if text is None else escape(text) or "<em>nothing</em>"
