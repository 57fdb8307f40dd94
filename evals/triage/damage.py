"""Damaged encoding: texts that were read with the wrong character set, and characters that were lost.

UTF-8 read as Windows-1252 or Latin-1 leaves sequences that are no words of any language: é becomes Ã©, ’ becomes â€™.
They are found by their exact form, a lead byte and its continuation bytes (Unicode 16, table 3-7), and can be undone.
"""

import re
from collections.abc import Sequence

import numpy as np

from evals.triage.found import Found

_HIGH = "".join(bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xA0))  # € ‚ ƒ „ … and so on
_NEXT = f"[\x80-\xbf{re.escape(_HIGH)}]"
_SEQUENCE = re.compile(f"[\xc2-\xdf]{_NEXT}|[\xe0-\xef]{_NEXT}{{2}}|[\xf0-\xf4]{_NEXT}{{3}}")
_QUOTES = set("\xa0«»‹›–—‘’“”‚„…•´¨¸")
_NATURAL = _QUOTES | set("©®™°ªº·²³¹ŒŠŽœšžŸ")
"""What may follow a letter in print: ß” ends a German quotation, ÍŠ is Czech. With these alone nothing is proven."""
_LOST = re.compile("[\ufffd\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_LEADS = re.compile("[\xc2-\xf4]")


def damaged_texts(texts: Sequence[str | None]) -> Found:
    """Texts with damaged characters: 0 without, else 0.5 plus half the share of damaged characters; None gives nan.

    Damaged are UTF-8 sequences read in a one-byte character set, replacement and control characters, and halves of
    surrogate pairs. evidence: damaged, the first piece; text, what it was, where that can be told.

    >>> found = damaged_texts(["cafÃ© donâ€™t", "caf\\ufffd", "café „Spaß”"])
    >>> found.risk.round(2).tolist(), found.evidence["text"].tolist()
    ([0.69, 0.62, 0.0], ['café don’t', '', ''])
    """
    risk = np.full(len(texts), np.nan)
    damaged, repaired = np.full(len(texts), "", dtype=object), np.full(len(texts), "", dtype=object)
    for row, text in enumerate(texts):
        if text is None:
            continue
        pieces = [] if text.isascii() and text.isprintable() else _LOST.findall(text) + _sequences(text)
        risk[row] = min(1.0, 0.5 + 0.5 * sum(map(len, pieces)) / len(text)) if pieces else 0.0
        if pieces:
            damaged[row] = pieces[0]
            whole = repair(text)
            repaired[row] = whole if whole != text and not _LOST.search(whole) else ""
    return Found(risk, {"damaged": damaged, "text": repaired})


def repair(text: str) -> str:
    """The text with misread sequences undone, as often as they were misread; lost characters stay lost.

    >>> repair("naÃ¯ve"), repair("naÃƒÂ¯ve"), repair("naïve")
    ('naïve', 'naïve', 'naïve')
    """
    for _ in range(3):
        pieces = set(_sequences(text))
        if not pieces:
            return text
        text = _SEQUENCE.sub(lambda found: _decoded(found[0]) or found[0], text)
    return text


def _sequences(text: str) -> list[str]:
    """Misread sequences of a text; those that might be print count only where there is a sure one, or are several."""
    if not _LEADS.search(text):
        return []
    found = [piece for piece in _SEQUENCE.findall(text) if _decoded(piece)]
    return found if any(map(_is_sure, found)) else []


def _is_sure(piece: str) -> bool:
    natural = _QUOTES if piece[0] in "ÂÃ" else _NATURAL
    return any(character not in natural for character in piece[1:])


def _decoded(piece: str) -> str | None:
    """The character that a sequence stands for; None where it stands for none."""
    as_bytes = bytearray()
    for character in piece:
        code = ord(character)
        as_bytes += bytes([code]) if code < 0x100 else character.encode("cp1252")
    try:
        return as_bytes.decode("utf-8")
    except UnicodeDecodeError:
        return None
