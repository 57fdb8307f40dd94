"""Personal data in texts: e-mail addresses, payment cards, social security numbers, telephone numbers.

Patterns with the checks that their issuers publish, so that order numbers and dates stay what they are. A pattern says
what something looks like, not whose it is: names and street addresses are not looked for.
"""

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from evals.triage.found import Found, Group


class PersonalKind(StrEnum):
    """What it looks like."""

    EMAIL = "e-mail"
    CARD = "payment card"
    SSN = "social security number"
    PHONE = "telephone number"


class Personal(NamedTuple):
    """One piece of personal data in a text: characters start to end, and how sure the pattern is, in (0, 1]."""

    kind: PersonalKind
    start: int
    end: int
    risk: float


_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w](?:[\w-]{0,61}[\w])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{1,59})(?![\w-])"
)
_RESERVED = re.compile(r"(?:^|[@.])(?:example\.(?:com|net|org)|example|test|invalid|localhost)$", re.IGNORECASE)
"""Names that belong to nobody (RFC 2606, RFC 6761)."""
_CARD = re.compile(r"(?<![\w.,/-])(?<!\d )\d(?:[ -]?\d){12,18}(?![\w/-])(?![.,]\d)")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:6011|64[4-9]\d|65\d{2})\d{12}(?:\d{3})?"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}(?:\d{3})?"  # JCB
    r"|3(?:0[0-5]|[68]\d)\d{11}(?:\d{2}|\d{5})?"  # Diners Club
    r"|62\d{14,17}"  # UnionPay
    r"|(?:50|5[6-9]|6[37])\d{10,17}"  # Maestro
)
"""First digits and lengths by issuer (ISO/IEC 7812)."""
_SSN = re.compile(r"(?<![\w.-])(\d{3})([- ])(\d{2})\2(\d{4})(?![\w-])(?!\.\d)")
_SSN_ANNOUNCED = re.compile(r"\b(?:ssn|social security)\D{0,30}?(\d{3})(\d{2})(\d{4})(?!\d)", re.IGNORECASE)
_NEVER_ISSUED = {"078051120", "219099999", "123456789"}
"""Printed in advertisements, and so void; and the one that everybody types."""
_PHONE = re.compile(
    r"(?<![\w.+/-])(?<!\d )(?:"
    r"(?P<international>(?:\+|00)[1-9]\d{0,2}(?:[ .-]?(?:\(\d{1,5}\)|\d{1,5})){2,6})"
    r"|(?P<american>(?:1[ .-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}(?P<sign>[ .-]))"
    r"[2-9]\d{2}(?:(?(sign)(?P=sign)|[ .-]))\d{4})"
    r"|(?P<national>(?:\(0\d{1,4}\)|0\d{1,4})(?:[ /-]\d{2,8}){1,4})"
    r"|(?P<plain>[2-9]\d{2}[2-9]\d{6})"
    r")(?![\w/-])(?![.,:]\d)"
)
_PHONE_RISKS = {"international": 0.9, "american": 0.9, "national": 0.6, "plain": 0.4}
_FICTIONAL = re.compile(r"55501\d\d$")
"""North American numbers kept for films and examples."""
_NO_PHONE = re.compile(r"\d{1,2}([ /-])\d{1,2}\1\d{2,4}|\d{3}-\d\d-\d{4}")
"""Dates, and social security numbers that were never issued."""
_NOT_DIGITS = re.compile(r"\D+")


def find_personal(text: str) -> list[Personal]:
    """Personal data in a text, in order of place; pieces never overlap.

    Risks: 0.95 a card of a known issuer whose check digit holds; 0.9 an e-mail address, a number that could be a social
    security number, a telephone number in a common form; 0.6 a national one; 0.4 ten digits in a row; 0.2 what is
    reserved for examples.

    >>> [(found.kind.value, found.risk) for found in find_personal("Write to ann@mail.org or call +44 20 7946 0958.")]
    [('e-mail', 0.9), ('telephone number', 0.9)]
    >>> find_personal("order 4111 1111 1111 1112 of 2024-01-15")
    []
    """
    found = [
        Personal(PersonalKind.EMAIL, *match.span(), 0.2 if _RESERVED.search(match[0]) else 0.9)
        for match in (_EMAIL.finditer(text) if "@" in text else ())
    ]
    if sum(map(str.isdecimal, text)) < 7:  # a short number without its area, the least that anything here needs
        return found
    for pieces in (_cards(text), _security_numbers(text), _phones(text)):
        found += [new for new in pieces if not any(new.start < old.end and old.start < new.end for old in found)]
    return sorted(found, key=lambda each: each.start)


def personal_texts(texts: Sequence[str | None]) -> Found:
    """Texts with personal data: the risk of the surest piece, 0 without, nan for None.

    evidence: kinds, what was found; masked, the text with each piece hidden (`mask`), so that findings can be kept
    without what they found. groups: one for each kind.

    >>> found = personal_texts(["mail me: ann@mail.org", "hello"])
    >>> found.risk.tolist(), found.evidence["masked"].tolist(), found.groups[0].name
    ([0.9, 0.0], ['mail me: [e-mail]', ''], 'e-mail')
    """
    risk = np.full(len(texts), np.nan)
    kinds, masked = np.full(len(texts), "", dtype=object), np.full(len(texts), "", dtype=object)
    rows: dict[PersonalKind, list[int]] = {kind: [] for kind in PersonalKind}
    for row, text in enumerate(texts):
        if text is None:
            continue
        pieces = find_personal(text)
        risk[row] = max((piece.risk for piece in pieces), default=0.0)
        if pieces:
            counts = Counter(piece.kind for piece in pieces)
            kinds[row] = ", ".join(kind if n == 1 else f"{kind} ({n})" for kind, n in counts.items())
            masked[row] = mask(text)
        for kind in {piece.kind for piece in pieces}:
            rows[kind].append(row)
    groups = [
        Group(kind.value, float(risk[found].max()), np.array(found, dtype=np.int64), {"n": len(found)})
        for kind, found in rows.items()
        if found
    ]
    return Found(risk, {"kinds": kinds, "masked": masked}, tuple(sorted(groups, key=lambda group: -group.risk)))


def mask(text: str) -> str:
    """The text with every piece of personal data replaced by its kind: a suggested edit.

    >>> mask("my SSN is 536-22-8145, thanks")
    'my SSN is [social security number], thanks'
    """
    for piece in reversed(find_personal(text)):
        text = f"{text[: piece.start]}[{piece.kind}]{text[piece.end :]}"
    return text


def is_luhn(digits: str) -> bool:
    """Whether the last digit checks the others: every second from the right doubled, the sum a multiple of ten.

    Source: H. P. Luhn, US patent 2,950,048 (1960); ISO/IEC 7812-1, annex B.

    >>> is_luhn("4111111111111111"), is_luhn("4111111111111112")
    (True, False)
    """
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[::-2])) + sum(doubled)) % 10 == 0


def _cards(text: str) -> list[Personal]:
    found = []
    for match in _CARD.finditer(text):
        digits = _NOT_DIGITS.sub("", match[0])
        if digits.isascii() and _ISSUERS.fullmatch(digits) and is_luhn(digits):
            found.append(Personal(PersonalKind.CARD, *match.span(), 0.95))
    return found


def _security_numbers(text: str) -> list[Personal]:
    found = [(match.span(), match[1], match[3], match[4]) for match in _SSN.finditer(text)]
    found += [((match.start(1), match.end(3)), match[1], match[2], match[3]) for match in _SSN_ANNOUNCED.finditer(text)]
    # Areas 000, 666 and 900 to 999, groups 00 and serials 0000 are not assigned (US Social Security Administration).
    return [
        Personal(PersonalKind.SSN, *span, 0.9)
        for span, area, group, serial in found
        if area not in {"000", "666"} and area[0] != "9" and group != "00" and serial != "0000"
        and area + group + serial not in _NEVER_ISSUED
    ]  # fmt: skip


def _phones(text: str) -> list[Personal]:
    found = []
    for match in _PHONE.finditer(text):
        form = next(name for name in _PHONE_RISKS if match[name] is not None)
        digits = _NOT_DIGITS.sub("", match[0])
        if _NO_PHONE.fullmatch(match[0]):
            continue
        if 8 <= len(digits) <= 15 or (form == "national" and 7 <= len(digits) <= 12):  # at most 15: ITU-T E.164
            is_fiction = bool(_FICTIONAL.search(digits)) and form != "national"
            found.append(Personal(PersonalKind.PHONE, *match.span(), 0.2 if is_fiction else _PHONE_RISKS[form]))
    return found
