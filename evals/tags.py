"""Tags of words and the spans that they mean: BIO, BIOES and BILOU read, checked and written.

A tag is "O" or a prefix, a hyphen and a type: "B-PER". B begins a span and I goes on with it, in all three. In BIOES, E
ends a span of several words and S is one of a single word; BILOU says L and U for these. Sources: Ramshaw & Marcus,
Text Chunking using Transformation-Based Learning (1995); Ratinov & Roth, Design Challenges and Misconceptions in Named
Entity Recognition (2009).
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple


class Scheme(StrEnum):
    """How spans are written as tags."""

    BIO = "BIO"
    BIOES = "BIOES"
    BILOU = "BILOU"


class Span(NamedTuple):
    """Words start to end (not included) with a type."""

    start: int
    end: int
    tag: str


class TagProblem(NamedTuple):
    """A tag that its scheme does not allow there: sentence and word counted from 0, the tag, what is wrong."""

    sentence: int
    word: int
    tag: str
    reason: str


_PREFIXES = {Scheme.BIO: "BI", Scheme.BIOES: "BIES", Scheme.BILOU: "BILU"}
_LAST = {Scheme.BIO: "", Scheme.BIOES: "E", Scheme.BILOU: "L"}
_ALONE = {Scheme.BIO: "", Scheme.BIOES: "S", Scheme.BILOU: "U"}


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type: "B-geo-loc" is ("B", "geo-loc"), "O" is ("O", ""). A tag without a prefix has the prefix "".

    >>> split_tag("B-geo-loc"), split_tag("O"), split_tag("PER")
    (('B', 'geo-loc'), ('O', ''), ('', 'PER'))
    """
    if tag in ("O", ""):
        return "O", ""
    prefix, sign, name = tag.partition("-")
    return (prefix, name) if sign and len(prefix) == 1 else ("", tag)


def entity_types(tag_names: Iterable[str]) -> tuple[str, ...]:
    """The types that tags speak of, in alphabetical order.

    >>> entity_types(["O", "B-PER", "I-PER", "B-LOC"])
    ('LOC', 'PER')
    """
    return tuple(sorted({split_tag(tag)[1] for tag in tag_names} - {""}))


def scheme_tags(types: Iterable[str], scheme: Scheme) -> tuple[str, ...]:
    """All tags that a scheme has for these types: O, then those of each type in turn.

    >>> scheme_tags(["PER", "LOC"], Scheme.BIO)
    ('O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC')
    """
    return ("O", *(f"{prefix}-{name}" for name in types for prefix in _PREFIXES[scheme]))


def detect_scheme(tag_names: Iterable[str]) -> Scheme:
    """The scheme that these distinct tags are of. E or S make it BIOES, L or U BILOU; else it is BIO.

    ValueError for tags of no scheme, all of them named, and for prefixes of two schemes.

    >>> detect_scheme(["O", "B-PER", "I-PER", "U-PER", "L-PER"])
    <Scheme.BILOU: 'BILOU'>
    """
    names = sorted(set(tag_names))
    prefixes = {split_tag(tag)[0] for tag in names} - {"O"}
    unknown = [tag for tag in names if split_tag(tag)[0] not in tuple("OBIESLU") or _has_no_type(tag)]
    if unknown:
        shown = ", ".join(f'"{tag}"' for tag in unknown[:5]) + (f" and {len(unknown) - 5} more" * (len(unknown) > 5))
        raise ValueError(f"{shown}: no tag of BIO, BIOES or BILOU; allowed: O, or B-TYPE, I-TYPE, E-, S-, L-, U-TYPE")
    fitting = [scheme for scheme in Scheme if prefixes <= set(_PREFIXES[scheme])]
    if not fitting:
        raise ValueError(f"prefixes {', '.join(sorted(prefixes))} are of two schemes; BIOES has E, S; BILOU has L, U")
    return fitting[0]


def tag_problems(sentences: Iterable[Sequence[str]], scheme: Scheme, *, limit: int | None = None) -> list[TagProblem]:
    """Where tags break the rules of their scheme: prefixes it lacks, spans that never begin or never end.

    `limit`: stop after so many. A span that is not ended is told at its last word.

    >>> found = tag_problems([["O", "I-PER"], ["B-PER", "I-LOC"]], Scheme.BIO)
    >>> [(problem.sentence, problem.word, problem.tag) for problem in found], found[1].reason
    ([(0, 1, 'I-PER'), (1, 1, 'I-LOC')], 'I-LOC follows B-PER: a span begins with B-LOC')
    """
    found: list[TagProblem] = []
    last, alone = _LAST[scheme], _ALONE[scheme]
    allowed = ("O", *_PREFIXES[scheme])
    goes_on, opens = ("I", last), ("B", "I") if last else ()
    for number, tags in enumerate(sentences):
        before, type_before = "O", ""
        for word, tag in enumerate(tags):
            prefix, name = split_tag(tag)
            if prefix not in allowed or _has_no_type(tag):
                shown = ", ".join(("O", *(f"{each}-TYPE" for each in _PREFIXES[scheme])))
                found.append(TagProblem(number, word, tag, f'"{tag}" is no tag of {scheme.value}; allowed: {shown}'))
                prefix, name = "O", ""
            elif prefix in goes_on and (before not in ("B", "I") or name != type_before):
                begin = f"a span begins with B-{name}" + (f" or is {alone}-{name}" if alone else "")
                follows = f"{tag} goes on with nothing" if before not in ("B", "I") else None
                follows = follows or f"{tag} follows {before}-{type_before}"
                found.append(TagProblem(number, word, tag, f"{follows}: {begin}"))
            elif before in opens and prefix not in goes_on:
                found.append(_unended(number, word - 1, tags[word - 1], type_before, last))
            before, type_before = prefix, name
        if before in opens:
            found.append(_unended(number, len(tags) - 1, tags[-1], type_before, last))
        if limit is not None and len(found) >= limit:
            return found[:limit]
    return found


def spans_of(tags: Sequence[str], *, strict: Scheme | None = None) -> list[Span]:
    """Spans of one sentence from its tags, in their order.

    Without `strict`, as the CoNLL evaluation reads them, whatever the scheme: a tag that continues nothing ("I-PER"
    after "O" or after another type) begins a span; tags without a prefix are spans of equal neighbours. With a scheme
    as `strict`, only spans that are written by its rules from the first word to the last count. seqeval reads alike in
    its default mode (where it does not know L and U) and in `mode="strict"`.

    >>> spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
    [Span(start=0, end=2, tag='PER'), Span(start=3, end=4, tag='LOC'), Span(start=4, end=5, tag='LOC')]
    >>> spans_of(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"], strict=Scheme.BIO)
    [Span(start=0, end=2, tag='PER'), Span(start=4, end=5, tag='LOC')]
    """
    return _lenient_spans(tags) if strict is None else _strict_spans(tags, strict)


def tags_of(spans: Iterable[Span], n_words: int, scheme: Scheme = Scheme.BIO) -> list[str]:
    """The tags of a sentence of `n_words` words with these spans: what `spans_of` reads, written by the rules.

    ValueError for spans that are empty, outside the sentence or overlap.

    >>> tags_of([Span(0, 2, "PER"), Span(3, 4, "LOC")], 4, Scheme.BIOES)
    ['B-PER', 'E-PER', 'O', 'S-LOC']
    """
    tags = ["O"] * n_words
    for start, end, name in spans:
        if not 0 <= start < end <= n_words:
            raise ValueError(f"span {start} to {end} ({name}) does not lie in a sentence of {n_words} words")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"span {start} to {end} ({name}) overlaps another one; tags have no way to say that")
        tags[start] = f"B-{name}"
        tags[start + 1 : end] = [f"I-{name}"] * (end - start - 1)
        if end - start == 1:
            tags[start] = f"{_ALONE[scheme] or 'B'}-{name}"
        else:
            tags[end - 1] = f"{_LAST[scheme] or 'I'}-{name}"
    return tags


def _lenient_spans(tags: Sequence[str]) -> list[Span]:
    found: list[Span] = []
    is_open = False
    for at, tag in enumerate(tags):
        prefix, name = split_tag(tag)
        if prefix == "O":
            is_open = False
            continue
        if is_open and prefix in ("I", "E", "L", "M", "") and found[-1].tag == name:
            found[-1] = Span(found[-1].start, at + 1, name)
        else:
            found.append(Span(at, at + 1, name))
        is_open = prefix not in ("E", "S", "L", "U")
    return found


def _strict_spans(tags: Sequence[str], scheme: Scheme) -> list[Span]:
    last, alone = _LAST[scheme], _ALONE[scheme]
    found: list[Span] = []
    start, name_of_open = -1, ""
    for at, tag in enumerate((*tags, "O")):
        prefix, name = split_tag(tag)
        goes_on = start >= 0 and name == name_of_open
        if goes_on and prefix == "I":
            continue
        if goes_on and last and prefix == last:
            found.append(Span(start, at + 1, name))
            start = -1
            continue
        if start >= 0 and not last:
            found.append(Span(start, at, name_of_open))
        start, name_of_open = (at, name) if prefix == "B" else (-1, "")
        if alone and prefix == alone:
            found.append(Span(at, at + 1, name))
    return found


def _has_no_type(tag: str) -> bool:
    prefix, name = split_tag(tag)
    return prefix != "O" and not name


def _unended(sentence: int, word: int, tag: str, name: str, last: str) -> TagProblem:
    return TagProblem(sentence, word, tag, f"{tag} is not ended: I-{name} or {last}-{name} must follow")
