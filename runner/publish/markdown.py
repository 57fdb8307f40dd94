"""Other people's text inside markdown: shown as text, whatever is in it. Loads no torch."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>&$:@/=])")
_MOST_CHARACTERS = 2000


def clean(text: object) -> str:
    """Without control characters and halves of characters; line breaks stay.

    >>> clean("a\\x00b\\r\\nc")
    'a b\\nc'
    """
    whole = str(text).encode("utf-8", "replace").decode().replace("\r\n", "\n")
    return "".join(char if char == "\n" or char.isprintable() else " " for char in whole)


def inline(text: object, most: int = _MOST_CHARACTERS) -> str:
    """Text in one line that markdown shows as it is.

    >>> print(inline("a|b <script> *c*"))
    a&#124;b &lt;script&gt; &#42;c&#42;
    """
    line = " ".join(clean(text).split())
    line = line if len(line) <= most else line[: most - 1] + "…"
    return _SPECIAL.sub(lambda found: _entity(found[1]), line)


def _entity(char: str) -> str:
    """As an HTML entity: markdown, tables and HTML all leave it alone. Harmless ones stay readable."""
    named = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    return char if char in _HARMLESS else named.get(char, f"&#{ord(char)};")


_HARMLESS = frozenset("-.()/:=+")
"""Marks that mean something at the beginning of a line, or not at all; `paragraphs` and cells never begin with them."""


def paragraphs(text: str) -> str:
    """Text of several paragraphs, each a paragraph of text and nothing else.

    >>> print(paragraphs("# one\\ntwo\\n\\n- three"))
    &#35; one two
    <BLANKLINE>
    &#45; three
    """
    parts = [part for part in re.split(r"\n\s*\n", clean(text)) if part.strip()]
    return "\n\n".join(_begun(inline(part, most=20_000)) for part in parts)


def _begun(line: str) -> str:
    """A line that begins no list, heading or rule."""
    first = line[:1]
    if first in _HARMLESS or first in "—=":
        return f"&#{ord(first)};{line[1:]}"
    return re.sub(r"^(\d+)([.)])", lambda found: f"{found[1]}&#{ord(found[2])};", line)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A table of cells that are markdown already; the columns in `right` stand to the right.

    >>> print(table(["split", "n"], [["test", "3"]], right=[1]))
    | split | n |
    |---|--:|
    | test | 3 |
    """
    rule = "|" + "|".join("--:" if i in right else "---" for i in range(len(headers))) + "|"
    lines = ["| " + " | ".join(headers) + " |", rule]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
