"""Texts with nothing to learn from: empty, placeholders, repetition, markup, cut off by max_length.

texts are (n,) strings, None = not known: its risk is nan. Damaged encoding is in `damage`, other languages are in
`language`.
"""

import html
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.found import Found

PLACEHOLDERS = frozenset(
    {"n/a", "na", "none", "null", "nil", "nan", "undefined", "unknown", "empty", "blank", "todo", "tbd", "tba", "fixme"}
    | {"xxx", "test", "asdf", "qwerty", "#n/a", "#ref!", "#value!", "#name?", "[deleted]", "[removed]", "...", "-"}
    | {"nooutput", "noinput", "unk", "not available", "not applicable", "lorem ipsum", "insert text here"}
)
"""What stands where somebody should have written something, in lower case; also between < and >."""
_NOTHING = re.compile(
    r"no (?:answer|content|description|input|output|response|text)"
    r"(?: (?:is |was )?(?:available|found|given|provided))?\.?"
)
_NO_TEXT, _PLACEHOLDER, _PUNCTUATION = 1.0, 0.9, 0.7

_WORD_CHARACTER = re.compile(r"[^\W_]")
_RUN = re.compile(r"(\S)\1{5,}")
_WORDS = re.compile(r"\w+|[^\w\s]+")
PHRASE = 3
"""Words of a phrase that counts as repeated when it comes again."""

_TAGS = (
    "a|abbr|b|blockquote|body|br|button|center|code|div|em|font|form|h[1-6]|head|hr|html|i|iframe|img|input|li|link|meta"
    "|ol|p|pre|script|small|span|strike|strong|style|sub|sup|table|tbody|td|th|thead|title|tr|u|ul"
)
_MARKUP = re.compile(
    rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>|<!--|-->|<!doctype[^<>]*>"  # HTML
    r"|&(?:#\d{1,6}|#x[0-9a-f]{1,6}|[a-z]{2,8}\d{0,2});"  # its entities
    r"|\[/?(?:url|img|quote|code|size|color|list)(?:=[^\]\s]{0,500})?\]"  # forums
    r"|\[b\](?=[^\[\]]{0,200}\[/b\])|\[i\](?=[^\[\]]{0,200}\[/i\])|\[u\](?=[^\[\]]{0,200}\[/u\])|\[/[biu]\]"
    r"|\{\{[^{}]{0,200}\}\}|\[\[[^\[\]]{0,200}\]\]"  # wikis, and templates that were not filled in
    r"|<\|[a-z_0-9]{1,40}\|>|\[/?INST\]|<</?SYS>>",  # chat templates
    re.IGNORECASE,
)


def empty_texts(texts: Sequence[str | None]) -> Found:
    """Texts that say nothing: risk 1 without a visible character, 0.9 placeholders, 0.7 punctuation only; else 0.

    Letters, digits and symbols such as emoji of any script are something. evidence: reason.

    >>> found = empty_texts(["", "N/A", "<No Output>", "?!", "ok", "🙂"])
    >>> found.risk.tolist(), found.evidence["reason"].tolist()
    ([1.0, 0.9, 0.9, 0.7, 0.0, 0.0], ['no text', 'placeholder', 'placeholder', 'only punctuation', '', ''])
    """
    risk, reason = _columns(len(texts))
    for row, text in enumerate(texts):
        if text is None:
            continue
        plain = text.strip()
        if _is_placeholder(plain):
            risk[row], reason[row] = _PLACEHOLDER, "placeholder"
        elif _WORD_CHARACTER.search(plain):
            risk[row] = 0.0
        else:
            kinds = {unicodedata.category(character) for character in plain}
            if "So" in kinds:  # an emoji is an answer
                risk[row] = 0.0
            elif any(kind[0] in "PSM" for kind in kinds):
                risk[row], reason[row] = _PUNCTUATION, "only punctuation"
            else:  # white space, control and invisible characters
                risk[row], reason[row] = _NO_TEXT, "no text"
    return Found(risk, {"reason": reason})


def repeated_texts(texts: Sequence[str | None], parts: Sequence[Sequence[str | None]] = ()) -> Found:
    """How much of a text says the same again: the share of its characters, in [0, 1].

    Where a text is made of `parts`, (n,) each, each is judged by itself and the worst counts: an answer that repeats
    the question does not repeat itself.

    The larger share of two: characters in runs of six and more of one character ("!!!!!!!!"), and characters of words
    in phrases of PHRASE words that stood before in the same text (the duplicate n-grams of Rae et al., Scaling Language
    Models (2021), arXiv:2112.11446, table A1, with shorter phrases for shorter texts). evidence: repeated, the run or
    the phrase.

    >>> found = repeated_texts(["buy now " * 5, "noooooooooooo", "a fine day"])
    >>> found.risk.round(2).tolist(), found.evidence["repeated"].tolist()
    ([0.8, 0.85, 0.0], ['buy now buy', 'oooooooooooo', ''])
    >>> repeated_texts(["what is it\\nwhat is it"], [["what is it"], ["what is it"]]).risk.tolist()
    [0.0]
    """
    risk, repeated = _columns(len(texts))
    for part in parts or (texts,):
        for row, text in enumerate(part):
            if text is None:
                continue
            share, again = _repetition(text)
            if not share <= risk[row]:  # nothing is known of it yet, or of a part that repeats less
                risk[row], repeated[row] = share, again
    return Found(risk, {"repeated": repeated})


def markup_texts(texts: Sequence[str | None]) -> Found:
    """Debris of HTML, forums, wikis and chat templates: 0 without, else 0.5 plus half its share of the characters.

    evidence: markup, the first piece; text, what remains without it (`without_markup`).

    >>> found = markup_texts(["<p>Fish &amp; chips</p>", "a < b > c"])
    >>> found.risk.round(2).tolist(), found.evidence["text"].tolist()
    ([0.76, 0.0], ['Fish & chips', ''])
    """
    risk, markup = _columns(len(texts))
    cleaned = np.full(len(texts), "", dtype=object)
    for row, text in enumerate(texts):
        if text is None:
            continue
        found = _MARKUP.findall(text) if any(sign in text for sign in "<&[{") else []
        risk[row] = 0.5 + 0.5 * sum(map(len, found)) / len(text) if found else 0.0
        if found:
            markup[row], cleaned[row] = found[0], without_markup(text)
    return Found(risk, {"markup": markup, "text": cleaned})


def without_markup(text: str) -> str:
    """The text without tags, its entities as the characters they stand for.

    >>> without_markup("one<br/>two &lt;3")
    'one two <3'
    """
    plain = html.unescape(_MARKUP.sub(lambda found: found[0] if found[0].startswith("&") else " ", text))
    return " ".join(plain.split())


def truncated_texts(n_tokens: Ints | Floats, max_length: int) -> Found:
    """What a model does not see of each text: the share of its tokens beyond max_length, in [0, 1).

    n_tokens (n,): tokens without truncation, nan or below 0 = not known. evidence: n_lost, tokens cut off.

    >>> found = truncated_texts(np.array([100, 128, 512]), 128)
    >>> found.risk.tolist(), found.evidence["n_lost"].tolist()
    ([0.0, 0.0, 0.75], [-1, -1, 384])
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}; needed: 1 or more")
    tokens = np.asarray(n_tokens, dtype=np.float64)
    is_known = tokens >= 0
    lost = np.maximum(np.where(is_known, tokens, 0) - max_length, 0)
    risk = np.where(is_known, lost / np.maximum(tokens, 1), np.nan)
    return Found(risk, {"n_lost": np.where(lost > 0, lost, -1).astype(np.int64)})


def _columns(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.object_]]:
    return np.full(n, np.nan), np.full(n, "", dtype=object)


def _is_placeholder(text: str) -> bool:
    plain = text.lower()
    inner = plain.removeprefix("<").removesuffix(">").strip()
    is_nothing = _NOTHING.fullmatch(inner) is not None
    return is_nothing or not PLACEHOLDERS.isdisjoint((plain, inner)) or plain.startswith("lorem ipsum")


def _repetition(text: str) -> tuple[float, str]:
    n_visible = sum(map(len, words := _WORDS.findall(text)))
    if not n_visible:
        return 0.0, ""
    runs = [found[0] for found in _RUN.finditer(text)]
    by_run = sum(len(run) - 1 for run in runs) / n_visible
    by_phrase, phrase = 0.0, ""
    folded = [word.lower() for word in words]
    if len(set(folded)) < len(folded):  # nothing comes again where all words differ
        by_phrase, phrase = _phrases(folded)
    return (by_run, max(runs, key=len)) if runs and by_run >= by_phrase else (by_phrase, phrase)


def _phrases(words: list[str]) -> tuple[float, str]:
    seen: dict[tuple[str, ...], int] = {}
    is_repeated = [False] * len(words)
    for at in range(len(words) - PHRASE + 1):
        phrase = tuple(words[at : at + PHRASE])
        seen[phrase] = seen.get(phrase, 0) + 1
        if seen[phrase] > 1:
            is_repeated[at : at + PHRASE] = [True] * PHRASE
    n_repeated = sum(len(word) for word, again in zip(words, is_repeated, strict=True) if again)
    if not n_repeated:
        return 0.0, ""
    commonest = max(seen, key=lambda phrase: seen[phrase])
    return n_repeated / sum(map(len, words)), " ".join(commonest)
