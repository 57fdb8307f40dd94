"""Findings in words, for pages, reports and the terminal: what each kind is called in a count, and what its evidence
says. All of it is plain text."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from evals.triage.findings import DETECTORS, get_detector


class Phrase(NamedTuple):
    """How a kind is counted: `1 wrong label`, `214 wrong labels`."""

    one: str
    many: str


PHRASES: Mapping[str, Phrase] = MappingProxyType(
    {
        "label_error": Phrase("likely wrong label", "likely wrong labels"),
        "contradiction": Phrase("text with contradicting labels", "texts with contradicting labels"),
        "split_leak": Phrase("duplicate across splits", "duplicates across splits"),
        "exact_duplicate": Phrase("exact duplicate", "exact duplicates"),
        "near_duplicate": Phrase("near duplicate", "near duplicates"),
        "empty": Phrase("empty text", "empty texts"),
        "repetition": Phrase("text that repeats itself", "texts that repeat themselves"),
        "markup": Phrase("text with markup", "texts with markup"),
        "encoding": Phrase("text with damaged encoding", "texts with damaged encoding"),
        "language": Phrase("text in another language", "texts in another language"),
        "truncated": Phrase("text cut off by max_length", "texts cut off by max_length"),
        "personal_data": Phrase("text with personal data", "texts with personal data"),
        "label_leak": Phrase("text that names its label", "texts that name their label"),
        "giveaway_word": Phrase("word that decides a class", "words that decide a class"),
        "outlier": Phrase("outlier", "outliers"),
        "sparse_region": Phrase("region with few training examples", "regions with few training examples"),
        "boundary": Phrase("example on the boundary", "examples on the boundary"),
        "class_overlap": Phrase("pair of classes that overlap", "pairs of classes that overlap"),
        "rare_class": Phrase("rare class that pays for it", "rare classes that pay for it"),
        "weak_slice": Phrase("slice with more errors", "slices with more errors"),
        "split_drift": Phrase("drift between splits", "drifts between splits"),
        "order_effect": Phrase("effect of the file's order", "effects of the file's order"),
        "harmful_example": Phrase("example that hurts its neighbours", "examples that hurt their neighbours"),
        "empty_answer": Phrase("empty answer", "empty answers"),
        "refusal": Phrase("refusal in an answer", "refusals in answers"),
        "copied_answer": Phrase("answer copied from its prompt", "answers copied from their prompts"),
        "unfinished_answer": Phrase("answer that breaks off", "answers that break off"),
        "several_instructions": Phrase("prompt with several instructions", "prompts with several instructions"),
        "conflicting_answers": Phrase("prompt with conflicting answers", "prompts with conflicting answers"),
        "mismatched_answer": Phrase("answer that does not fit its prompt", "answers that do not fit their prompts"),
        "hard_target": Phrase("target the model does not expect", "targets the model does not expect"),
        "token_label": Phrase("wrong label of a token", "wrong labels of tokens"),
        "span_error": Phrase("example with doubtful spans", "examples with doubtful spans"),
        "label_set": Phrase("example with doubtful classes", "examples with doubtful classes"),
        "number_error": Phrase("number that is likely wrong", "numbers that are likely wrong"),
    }
)

KINDS: tuple[str, ...] = tuple(detector.kind for detector in DETECTORS)
"""Every kind, in the order of the table of detectors."""
_NO_DEFECT = ("label_error", "boundary", "harmful_example", "class_overlap")
"""Kinds that are no defect by themselves, or have a sentence of their own."""
_SPOILS_MEASURING = ("contradiction", "split_leak")


def unjudged_words(n: str, targets: str, judged: Mapping[str, Any] | None = None) -> str:
    """Of data whose targets are not one label each: targets, such as "numbers".

    judged: who says how doubtful each is: `name`, and whether it was trained on them (`in_sample`).

    >>> print(unjudged_words("90", "spans", {"name": "ner", "in_sample": False}))
    90 training examples with spans, judged by models of ner that had not seen them: the least likely come first.
    >>> print(unjudged_words("90", "spans", {"name": "ner", "in_sample": True}))
    90 training examples with spans, those that ner learnt the least first; crossval asks models that saw none of them.
    >>> print(unjudged_words("1,657", "sets of labels"))
    1,657 training examples with sets of labels: these are not judged, only the texts are looked at.
    >>> print(unjudged_words("90", "spans"))
    90 training examples with spans: these are not judged; those of other splits are compared with what a run said.
    >>> print(unjudged_words("240", "texts"))
    240 training examples whose targets are texts: what is odd about prompts and answers is listed below.
    """
    if judged and judged.get("in_sample"):
        said = f"{n} training examples with {targets}, those that {judged['name']} learnt the least first"
        return f"{said}; crossval asks models that saw none of them."
    if judged:
        by = f"judged by models of {judged['name']} that had not seen them"
        return f"{n} training examples with {targets}, {by}: the least likely come first."
    if targets == "texts":
        return f"{n} training examples whose targets are texts: what is odd about prompts and answers is listed below."
    if targets == "spans":
        others = "those of other splits are compared with what a run said"
        return f"{n} training examples with spans: these are not judged; {others}."
    return f"{n} training examples with {targets}: these are not judged, only the texts are looked at."


def undecidable_words(n_labels: str) -> str:
    """Of labels that were judged, and how many are wrong cannot be told (`evals.triage.tellable`).

    >>> print(undecidable_words("280"))
    How many of 280 labels are wrong cannot be told: what can be learned from the texts says too little about them. \
The likeliest ones still come first.
    """
    why = "what can be learned from the texts says too little about them"
    return f"How many of {n_labels} labels are wrong cannot be told: {why}. The likeliest ones still come first."


def counted(kind: str, n: int) -> str:
    """A count of a kind; one that this version does not know is counted by its name.

    >>> counted("label_error", 214), counted("outlier", 1), counted("new_kind", 3)
    ('214 likely wrong labels', '1 outlier', '3 × new kind')
    """
    phrase = PHRASES.get(kind)
    if phrase is None:
        return f"{n:,} × {kind.replace('_', ' ')}"
    return f"{n:,} {phrase.one if n == 1 else phrase.many}"


def gravest(counts: Mapping[str, int]) -> list[str]:
    """The kinds that are a defect, and were found, the gravest first: what spoils every measurement, then by count.

    >>> gravest({"label_error": 90, "empty": 2, "boundary": 300, "markup": 40, "split_leak": 8, "language": 0})
    ['split_leak', 'markup', 'empty']
    """
    found = [kind for kind in dict.fromkeys([*KINDS, *counts]) if counts.get(kind) and kind not in _NO_DEFECT]
    return sorted(found, key=lambda kind: (kind not in _SPOILS_MEASURING, -counts[kind]))


def title(kind: str) -> str:
    """A kind as a heading.

    >>> title("split_leak"), title("new_kind")
    ('duplicate across splits', 'new kind')
    """
    return get_detector(kind).title if kind in PHRASES else kind.replace("_", " ")


def to_do(kind: str) -> str | None:
    """What can be done about a finding of this kind; None for a kind that this version does not know.

    >>> to_do("outlier")
    'Drop what does not belong; collect more where it does.'
    """
    return get_detector(kind).to_do if kind in PHRASES else None


def suggested_text(kind: str, evidence: Mapping[str, Any]) -> str | None:
    """The text that a finding would put in place of the example's, where it has one.

    >>> suggested_text("markup", {"markup": "<b>", "text": "hello"}), suggested_text("outlier", {})
    ('hello', None)
    """
    name = get_detector(kind).suggests if kind in PHRASES else None
    value = evidence.get(name) if name in ("text", "masked") else None
    return value if isinstance(value, str) and value else None


def evidence_words(kind: str, evidence: Mapping[str, Any], label_names: Sequence[str] = ()) -> str:
    """One sentence of what speaks for a finding; plain text. Kinds without words of their own list what they hold.

    >>> evidence_words("exact_duplicate", {"partner": ["train", 3], "n_copies": 4})
    'the same text stands at train 3; 4 copies in this split'
    >>> evidence_words("boundary", {"first": 0, "second": 1, "p_first": 0.51, "p_second": 0.48}, ["no", "yes"])
    'no (0.51) or yes (0.48)'
    >>> evidence_words("outlier", {"distance": 0.8, "times": 2.51})
    '2.5 times as far from its neighbours as the median'
    """
    says = _WORDS.get(kind)
    words = says(evidence, label_names) if says else ""
    return words or "; ".join(f"{_name(key)}: {_value(value)}" for key, value in evidence.items())


def place(value: Any) -> str:
    """Where an example stands, from [split, position] or from a bare number.

    >>> place(["test", 1204]), place(7), place(None)
    ('test 1,204', 'row 7', 'another row')
    """
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{value[0]} {int(value[1]):,}"
    return f"row {int(value):,}" if isinstance(value, int | float) else "another row"


def _label(names: Sequence[str], index: Any) -> str:
    known = isinstance(index, int | float) and 0 <= index < len(names)
    return names[int(index)] if known else str(index)


def _duplicate(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    if "partner" not in evidence:
        return ""
    similarity = evidence.get("similarity")
    is_near = similarity is not None and similarity < 1
    words = f"a similar text ({100 * (similarity or 0):.0f} %)" if is_near else "the same text"
    words += f" stands at {place(evidence['partner'])}"
    if evidence.get("n_copies", 0) > 2:
        words += f"; {evidence['n_copies']:,} copies in this split"
    if "label" in evidence:
        words += f"; most copies are labelled {_label(names, evidence['label'])}"
    return words


def _boundary(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    if not {"first", "second", "p_first", "p_second"} <= set(evidence):
        return ""
    first, second = _label(names, evidence["first"]), _label(names, evidence["second"])
    return f"{first} ({evidence['p_first']:.2f}) or {second} ({evidence['p_second']:.2f})"


def _outlier(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    times = evidence.get("times")
    return f"{times:.1f} times as far from its neighbours as the median" if _is_known(times) else ""


def _label_error(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    doubts, voices = evidence.get("n_doubting"), evidence.get("n_voices")
    return f"{doubts:,} of {voices:,} voices doubt this label" if voices else ""


def _label_set(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    said = [f"{sign} {_value(evidence[name])}" for sign, name in (("+", "add"), ("−", "remove")) if evidence.get(name)]
    return " ".join(said)


def _number(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    if not {"given", "predicted", "deviations"} <= set(evidence):
        return ""
    given, predicted, deviations = (evidence[name] for name in ("given", "predicted", "deviations"))
    how = f"{abs(deviations):.1f} standard deviations too {'high' if deviations > 0 else 'low'}"
    return f"{_value(given)} is given, {_value(predicted)} predicted: {how}"


def _value_of(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
    value = evidence.get("value")
    if not _is_known(value):
        return ""
    return f"worth {value:+.2f}".replace("-", "−") + " of an average example to the held-out ones"


def _quoting(before: str, name: str) -> Any:
    """Words that quote one value of the evidence."""

    def words(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
        return f"{before} “{shortened(str(evidence[name]), 80)}”" if name in evidence else ""

    return words


def _plainly(before: str, name: str, after: str = "") -> Any:
    """Words around one value of the evidence."""

    def words(evidence: Mapping[str, Any], names: Sequence[str]) -> str:
        return f"{before}{_value(evidence[name])}{after}" if name in evidence else ""

    return words


_WORDS: Mapping[str, Any] = MappingProxyType(
    {
        "label_error": _label_error,
        "contradiction": _duplicate,
        "split_leak": _duplicate,
        "exact_duplicate": _duplicate,
        "near_duplicate": _duplicate,
        "boundary": _boundary,
        "outlier": _outlier,
        "harmful_example": _value_of,
        "label_set": _label_set,
        "number_error": _number,
        "span_error": _plainly("", "kinds"),
        "empty": _plainly("", "reason"),
        "empty_answer": _plainly("", "reason"),
        "repetition": _quoting("repeats", "repeated"),
        "markup": _quoting("holds", "markup"),
        "encoding": _quoting("holds", "damaged"),
        "language": _plainly("seems to be ", "language"),
        "truncated": _plainly("", "n_lost", " tokens are cut off"),
        "personal_data": _plainly("holds: ", "kinds"),
        "label_leak": _quoting("the text says", "written"),
        "refusal": _quoting("the answer says", "phrase"),
        "copied_answer": _plainly("", "n_words", " words are the prompt's"),
        "unfinished_answer": _quoting("ends with", "end"),
        "hard_target": _plainly("mean error potential ", "potential"),
        "mismatched_answer": _plainly("the prompt makes the answer ", "ratio", " times as surprising"),
    }
)


def shortened(text: str, limit: int) -> str:
    """One line of a text, cut with an ellipsis.

    >>> shortened("a long  text", 8)
    'a long …'
    """
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _is_known(value: Any) -> bool:
    return value is not None and value == value


def _name(key: str) -> str:
    return key.replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return shortened(str(value), 80)
