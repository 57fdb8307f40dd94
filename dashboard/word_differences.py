"""Two texts word by word: which words of one are not in the other, where both are read from beginning to end."""

import re
from difflib import SequenceMatcher
from html import escape
from typing import Literal, NamedTuple

MOST_WORDS = 3000
"""Of each text; what lies behind is shown without differences: finding them takes the square of their number."""
_WORD = re.compile(r"\s*\S+|\s+$")


class Stretch(NamedTuple):
    """A part of a text, with the white space before its words; whether the other text lacks it."""

    text: str
    is_alone: bool


def word_differences(first: str, second: str) -> tuple[list[Stretch], list[Stretch]]:
    """Both texts, cut where they begin or cease to be the same; the stretches of each together are the text.

    >>> first, second = word_differences("the cat sat", "the dog sat down")
    >>> first
    [Stretch(text='the', is_alone=False), Stretch(text=' cat', is_alone=True), Stretch(text=' sat', is_alone=False)]
    >>> [stretch.text for stretch in second if stretch.is_alone]
    [' dog', ' down']
    """
    texts = [_WORD.findall(text) for text in (first, second)]
    ours, theirs = ([word.strip() for word in words[:MOST_WORDS]] for words in texts)
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    found: tuple[list[Stretch], list[Stretch]] = ([], [])
    for kind, a, b, c, d in blocks:
        for side, words in zip(found, (texts[0][a:b], texts[1][c:d]), strict=True):
            if words:
                side.append(Stretch("".join(words), kind != "equal"))
    for side, words in zip(found, texts, strict=True):
        if len(words) > MOST_WORDS:
            side.append(Stretch("".join(words[MOST_WORDS:]), False))
    return found


def stretches_html(stretches: list[Stretch], mark: Literal["lost", "new"]) -> str:
    """A text with what the other one lacks marked; every character of it is escaped.

    >>> stretches_html([Stretch("a <b>", False), Stretch(" c", True)], "new")
    'a &lt;b&gt; <mark class="is-new">c</mark>'
    """
    found = []
    for text, is_alone in stretches:
        words = text.lstrip()
        blanks = text[: len(text) - len(words)]
        is_marked = is_alone and words
        found.append(
            escape(blanks) + (f'<mark class="is-{mark}">{escape(words)}</mark>' if is_marked else escape(words))
        )
    return "".join(found)
