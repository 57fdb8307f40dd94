"""Small tables that are there at once, as escaped HTML: each table widget would take its time to draw."""

from collections.abc import Sequence
from html import escape

import streamlit as st

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], *, most: int = 0) -> str:
    """Values in [0, 1] as a line of blocks, a gap for one that is not known; of more than `most` (0: any number)
    as many, evenly spaced, the first and the last among them.

    >>> sparkline([0.0, 0.5, 1.0, float("nan")]), sparkline([0.0, 0.1, 0.2, 0.5, 1.0], most=3)
    ('▁▅█ ', '▁▂█')
    """
    if 1 < most < len(values):
        values = [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]
    return "".join(" " if v != v else _BLOCKS[min(7, max(0, int(v * 8)))] for v in values)


def bar(share: float, *, width: int = 8) -> str:
    """A share in [0, 1] as a bar of blocks; nothing for one that is not known.

    >>> bar(0.5), bar(0.0), bar(float("nan"))
    ('████', '▏', '')
    """
    if share != share:
        return ""
    return "█" * round(share * width) or "▏"


def table_html(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, marked: int | None, wide: int | None,
    hints: Sequence[str] = (),
) -> str:  # fmt: skip
    """A table in which every text is escaped. In the column `marked` what begins with ≠ stands out; `wide` is cut.
    Pointed at, a cell says its whole text; the first of a row what `hints` has for it.

    >>> table_html(["a"], [["<b>"]], marked=None, wide=None).count("&lt;b&gt;")
    2
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = []
    for number, row in enumerate(rows):
        cells = []
        for place, text in enumerate(row):
            shown = " ".join(text.split())
            kinds = ["wide"] if place == wide else []
            kinds += ["differs"] if place == marked and shown.startswith("≠") else []
            kinds += ["blocks"] if shown and set(shown) <= {*_BLOCKS, "▏", " "} else []
            hint = hints[number] if place == 0 and number < len(hints) and hints[number] else shown
            cells.append(f'<td class="{" ".join(kinds)}" title="{escape(hint)}">{escape(shown)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="assay-small"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def show_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, marked: int | None = None, wide: int | None = None,
    hints: Sequence[str] = (),
) -> None:  # fmt: skip
    """Draw such a table."""
    st.html(table_html(header, rows, marked=marked, wide=wide, hints=hints))
