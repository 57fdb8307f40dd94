"""What is wrong with a data set, how far its review is, and when to stop: sentences, plain text."""

from collections.abc import Mapping, Sequence

from dashboard.formats import UNKNOWN, count, is_known, percent
from dashboard.triage.summary import Summary
from evals.intervals import Estimate
from evals.triage.phrases import counted, gravest, undecidable_words, unjudged_words
from evals.triage.stopping import Outlook

_INPUTS = {
    "neighbours": "embeddings", "log_probs": "model that judged them", "label_risk": "model that judged them",
    "errors": "predictions", "n_tokens": "token counts", "slicings": "slices", "duplicates": "texts",
}  # fmt: skip
"""What a detector's inputs are called; the others are called as they are."""
_OF_OTHER_TASKS = frozenset(
    (
        "answers", "prompts", "prompt_duplicates", "answer_loss", "answer_loss_alone", "target_log_probs",
        "best_other_log_probs", "token_offsets", "token_p_given", "given_spans", "predicted_spans", "label_sets",
        "label_set_probs", "numbers", "predicted_numbers",
    )
)  # fmt: skip
"""Inputs that texts with one label each do not have: kinds that need one are not missed."""
MOST_OTHERS = 3
LEAST_PAIR = 0.05
"""A pair of classes is named in the headline when it holds this share of the wrong labels."""


def about(estimate: Estimate) -> str:
    """A count that was estimated, with its 95 % interval.

    >>> about(Estimate(610.2, 520.0, 704.0)), about(Estimate(float("nan"), 0, 0))
    ('610 (520 to 704)', 'an unknown number')
    """
    if not is_known(estimate.value):
        return "an unknown number"
    if not is_known(estimate.low) or not is_known(estimate.high):
        return count(estimate.value)
    return f"{count(estimate.value)} ({count(estimate.low)} to {count(estimate.high)})"


def without_classes(targets: str) -> str:
    """Why nothing is judged class by class; targets: what the examples have, such as "numbers".

    >>> print(without_classes("sets of labels"))
    The examples of this data set have sets of labels, not one class each: nothing is judged class by class. What was \
found about them is in the queue, where what is suggested can be accepted, and examples kept, dropped or edited.
    """
    return (
        f"The examples of this data set have {targets}, not one class each: nothing is judged class by class. What was "
        "found about them is in the queue, where what is suggested can be accepted, and examples kept, dropped or "
        "edited."
    )


def one_decimal(share: float) -> str:
    """A share of which tenths of a percent matter.

    >>> one_decimal(0.0534), one_decimal(0.31), one_decimal(float("nan"))
    ('5.3 %', '31 %', '–')
    """
    if not is_known(share):
        return UNKNOWN
    return f"{100 * share:.1f} %" if share < 0.1 else percent(share)


def headline(said: Summary, label_names: Sequence[str], found: Mapping[str, int]) -> str:
    """What is wrong with the labels, and what else, the gravest first. found: how many findings of each kind.

    >>> from dashboard.triage.summary import read_summary
    >>> said = {"n": 11427, "labels": {"n_labelled": 11427, "n_errors": {"value": 610, "low": 520, "high": 704},
    ...     "noise": {"value": 0.0534, "low": 0.046, "high": 0.062},
    ...     "pairs": [{"given": 0, "likely": 1, "n": 212, "low": 180, "high": 240}]}}
    >>> names = ["neutral", "positive"]
    >>> print(headline(read_summary(said, names), names, {"label_error": 590, "split_leak": 88}))
    About 610 (520 to 704) of 11,427 labels are wrong, 5.3 %; most often neutral that should be positive (212). \
Also 88 duplicates across splits.
    """
    parts = [_of_labels(said, label_names)]
    others = gravest(found)
    if others:
        parts.append(f"Also {_listed([counted(kind, found[kind]) for kind in others[:MOST_OTHERS]])}.")
    return " ".join(parts)


def _of_labels(said: Summary, label_names: Sequence[str]) -> str:
    if not said.n_labelled and said.unjudged:
        return unjudged_words(count(said.n), said.unjudged, said.judged)
    if not said.n_labelled:
        return f"{count(said.n)} training examples without labels."
    if not is_known(said.n_errors.value):
        return undecidable_words(count(said.n_labelled))
    words = f"About {about(said.n_errors)} of {count(said.n_labelled)} labels are wrong"
    words += f", {one_decimal(said.noise.value)}" if is_known(said.noise.value) else ""
    pairs = said.pairs[(said.pairs["given"] >= 0) & (said.pairs["likely"] >= 0)]
    if len(pairs):
        top = pairs.sort_values("n", ascending=False, kind="stable").iloc[0]
        if top["n"] >= LEAST_PAIR * said.n_errors.value and top["n"] >= 1:
            given, likely = label_names[int(top["given"])], label_names[int(top["likely"])]
            words += f"; most often {given} that should be {likely} ({count(top['n'])})"
    return words + "."


def progress(n_decided: int, n_errors: int, per_minute: float | None, n_earlier: int = 0) -> str:
    """How far the review is; n_earlier: examples decided in earlier versions, beside those decided here.

    >>> progress(0, 0, None), progress(120, 89, 14.2)
    ('nothing decided yet', 'decided 120 · 74 % changed · 14 a minute')
    >>> progress(0, 0, None, 138)
    'nothing decided yet · 138 in earlier versions'
    """
    parts = [f"decided {count(n_decided)}", f"{percent(n_errors / n_decided)} changed"] if n_decided else []
    if parts and is_known(per_minute) and per_minute >= 0.5:
        parts.append(f"{per_minute:.0f} a minute")
    parts = parts or ["nothing decided yet"]
    if n_earlier:
        parts.append(f"{count(n_earlier)} in earlier versions")
    return " · ".join(parts)


def budget(n: int, next_errors: Estimate, n_waiting: int) -> str:
    """What looking at the next `n` is expected to find.

    >>> budget(200, Estimate(158.0, 144.0, 172.0), 11000)
    'expects 158 wrong labels (144 to 172), 79 % of them'
    >>> budget(200, Estimate(float("nan"), 0.0, 0.0), 0)
    'nothing is waiting'
    """
    if not n_waiting:
        return "nothing is waiting"
    if not is_known(next_errors.value):
        return f"{count(n_waiting)} {'waits' if n_waiting == 1 else 'wait'}; how many of them are errors is not known"
    n = min(n, n_waiting)
    ends = f"{count(next_errors.low)} to {count(next_errors.high)}"
    words = "wrong label" if round(next_errors.value) == 1 else "wrong labels"
    return f"expects {count(next_errors.value)} {words} ({ends}), {percent(next_errors.value / n)} of them"


def when_to_stop(seen: Outlook, *, worth: float) -> str:
    """Whether to go on. `worth`: the chance to be wrong from which an example is worth a look.

    >>> from evals.triage.stopping import outlook
    >>> import numpy as np
    >>> chance = np.repeat([0.5, 0.01], [100, 900])
    >>> decided = np.full(1000, np.nan)
    >>> print(when_to_stop(outlook(chance, decided, Estimate(59.0, 50.0, 70.0)), worth=0.05)[:74])
    Go on: 100 examples are worth a look, and about half of the next 100 are w
    >>> decided[:100] = np.arange(100) % 2
    >>> print(when_to_stop(outlook(chance, decided, Estimate(59.0, 30.0, 100.0)), worth=0.05)[:54])
    Stop here: about 1 in 80 of what remains is wrong, abo
    >>> print(when_to_stop(outlook(np.zeros(240), np.full(240, np.nan), Estimate(0.0, 0.0, 4.0)), worth=0.05))
    Stop here: no wrong label is expected among the 240 that remain; up to 4 may be there.
    """
    if not seen.n_rest:
        return "Everything has been decided."
    if not is_known(seen.errors_left.value):
        return ""
    left = f"about {about(seen.errors_left)} wrong labels"
    if seen.n_worth == 0 and round(seen.errors_left.value) == 0 and is_known(seen.errors_left.high):
        upto = f"; up to {count(seen.errors_left.high)} may be there" if round(seen.errors_left.high) else ""
        return f"Stop here: no wrong label is expected among the {count(seen.n_rest)} that remain{upto}."
    if seen.n_worth == 0:
        return f"Stop here: {one_in(seen.one_in)} of what remains is wrong, {left} among {count(seen.n_rest)}."
    share = seen.next_errors.value / seen.n_next
    worth_it = f"{count(seen.n_worth)} {'example is' if seen.n_worth == 1 else 'examples are'} worth a look"
    words = f"Go on: {worth_it}, and {_share(share)} of the next {count(seen.n_next)} are wrong; {left} remain."
    return words + f" Stop when less than 1 in {1 / worth:.0f} is."


def one_in(n: float) -> str:
    """A rate in words.

    >>> one_in(19.6), one_in(1.2), one_in(float("nan")), one_in(7e6)
    ('about 1 in 20', 'almost everything', 'an unknown share', 'less than 1 in 1,000')
    """
    if not is_known(n):
        return "an unknown share"
    if n > 1000:
        return "less than 1 in 1,000"
    return "almost everything" if n < 1.5 else f"about 1 in {count(n)}"


def _share(share: float) -> str:
    return "about half" if 0.45 <= share <= 0.55 else f"about {percent(share)}"


def not_looked_for(missing: Mapping[str, Sequence[str]]) -> str | None:
    """Which kinds could not be looked for, and why; None where all could, or the others are for other tasks.

    >>> not_looked_for({"outlier": ("neighbours",), "boundary": ("log_probs",), "refusal": ("answers",)})
    'Not looked for: outliers (no embeddings), examples on the boundary (no model that judged them).'
    """
    said = []
    for kind, names in missing.items():
        if _OF_OTHER_TASKS & set(names):
            continue
        lacking = dict.fromkeys(_INPUTS.get(name, name.replace("_", " ")) for name in names)
        said.append(f"{counted(kind, 2)[2:]} (no {', '.join(lacking)})")
    return f"Not looked for: {', '.join(said)}." if said else None


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
