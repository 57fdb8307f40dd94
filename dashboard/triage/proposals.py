"""What one key accepts: the label, the text or the removal that is suggested for an example."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dashboard.formats import is_known, number, short
from dashboard.triage.targets import suggested_target
from evals.triage.findings import Action as ToDo
from evals.triage.findings import get_detector
from evals.triage.phrases import KINDS, PHRASES, suggested_text
from store import Action


@dataclass(frozen=True)
class Proposal:
    """What accepting does. `button`: what it says there; `words`: the same beside the example's label, where it is
    another label; `label` is a class index, or what else stands in its place (`store.targets`)."""

    action: Action
    button: str
    label: int | float | str | None = None
    text: str | None = None
    words: str = ""


def leading_kind(kinds: Sequence[str], asked: Sequence[str] = ()) -> str | None:
    """The finding for which an example is looked at: one that was asked for, else a wrong label, else its first.

    >>> both = ["outlier", "label_error"]
    >>> leading_kind(both), leading_kind(both, ["outlier"]), leading_kind([])
    ('label_error', 'outlier', None)
    """
    order = [*asked, *(kind for kind in KINDS if kind not in asked), *kinds]
    return next((kind for kind in order if kind in kinds), None)


def proposal(
    row: Mapping[str, Any], kind: str | None, evidence: Mapping[str, Any], label_names: Sequence[str]
) -> Proposal:
    """What is suggested for an example that is looked at for a finding of `kind`; where nothing is, to keep it.

    row: as `store.list_queue` gives it: given, suggested (class indices or None), suggested_probability.

    >>> row = {"given": 0, "suggested": 1, "suggested_probability": 0.93}
    >>> proposal(row, "label_error", {}, ["no", "yes"]).button
    'Accept yes (0.93)'
    >>> proposal(row, "exact_duplicate", {}, ["no", "yes"]).action.value
    'drop'
    >>> proposal({"given": 1, "suggested": 1, "suggested_probability": 0.6}, "label_error", {}, ["no", "yes"]).button
    'Keep yes (0.60)'
    """
    text = suggested_text(kind, evidence) if kind else None
    if text is not None:
        return Proposal(Action.EDIT, "Accept the suggested text", text=text)
    if kind in PHRASES and get_detector(str(kind)).action is ToDo.DROP:
        return Proposal(Action.DROP, "Accept: drop it")
    suggested, given = row.get("suggested"), row.get("given")
    if kind == "contradiction" and is_known(evidence.get("label")):
        suggested = evidence["label"]
    if is_known(suggested) and int(suggested) != given and 0 <= int(suggested) < len(label_names):
        p = row.get("suggested_probability")
        sure = f" ({number(p, 2)})" if is_known(p) and suggested == row.get("suggested") else ""
        words = f"{short(label_names[int(suggested)], 28)}{sure}"
        return Proposal(Action.RELABEL, f"Accept {words}", label=int(suggested), words=words)
    if kind == "label_error" and is_unsure(row, kind):
        p = row.get("suggested_probability")
        label = short(label_names[int(row["given"])], 28) if 0 <= int(row["given"]) < len(label_names) else "it"
        return Proposal(Action.KEEP, f"Keep {label}{f' ({number(p, 2)})' if is_known(p) else ''}")
    return Proposal(Action.KEEP, "Accept: it is right")


def is_unsure(row: Mapping[str, Any], kind: str | None) -> bool:
    """Whether a label is listed as likely wrong and is the likeliest all the same: of such about half are wrong
    (`benchmarks.triage`, "listed, and its own label the likeliest"), so neither can be accepted unread.

    >>> is_unsure({"given": 1, "suggested": 1}, "label_error"), is_unsure({"given": 1, "suggested": 0}, "label_error")
    (True, False)
    """
    given, suggested = row.get("given"), row.get("suggested")
    return kind == "label_error" and is_known(given) and is_known(suggested) and int(given) == int(suggested)


def unsure_words(votes: Sequence[int], given: int, label_names: Sequence[str]) -> str:
    """What to make of it; votes: the likeliest class of each voice.

    >>> unsure_words([1, 0, 1], 0, ["no", "yes"])
    'Listed as doubtful, and no is still the likeliest: of such labels about half are wrong. Next: yes.'
    """
    others = [label for label in votes if label != given]
    following = f" Next: {label_names[likely_labels(others, given, len(label_names))[0]]}." if others else ""
    return (
        f"Listed as doubtful, and {label_names[given]} is still the likeliest: of such labels about half are wrong."
        f"{following}"
    )


def instead(
    offered: Proposal, target: object, found: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> Proposal:  # fmt: skip
    """As `offered`, where that would keep an example of which a triage suggests other spans, labels or another number.

    target: as the store has it. found: the evidence of its findings, by kind. names: of the labels.
    """
    suggested = suggested_target(target, found, names) if offered.action is Action.KEEP else None
    if suggested is None:
        return offered
    label, words = suggested
    return Proposal(Action.RELABEL, f"Accept {words}", label=label, words=words)


class Offer(NamedTuple):
    """What accepting does to an example, and the finding for which it is looked at."""

    kind: str | None
    proposal: Proposal


def offer(
    row: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]], asked: Sequence[str], label_names: Sequence[str],
    *, target: object = None, target_names: Sequence[str] = (), is_one_text: bool = True,
) -> Offer:  # fmt: skip
    """Of one example; row: as for `proposal`. found: the evidence of its findings, by kind. asked: the kinds of the
    filter. target, target_names: of data without classes. is_one_text: another text can take the place of its text.

    >>> offer({}, {"number_error": {"predicted": 2.5}, "outlier": {}}, ["outlier"], [], target=9.0).proposal.button
    'Accept 2.50'
    """
    kind = leading_kind([*found], asked)
    evidence = found.get(kind or "", {})
    if not is_one_text and kind and suggested_text(kind, evidence) is not None:
        evidence = {}  # which of its texts is meant cannot be said
    offered = proposal(row, kind, evidence, label_names)
    return Offer(kind, instead(offered, target, found, target_names))


def said(action: str, becomes: str | None = None) -> str:
    """A decision in words, as it is shown on the example; becomes: what it has then, in words.

    >>> said("relabel", "yes"), said("keep"), said("drop", None), said("relabel")
    ('relabelled yes', 'kept', 'dropped', 'relabelled')
    """
    words = {
        "relabel": f"relabelled {becomes}" if becomes else "relabelled",
        "keep": "kept",
        "drop": "dropped",
        "edit": "text edited",
        "skip": "skipped",
        "note": "noted",
    }
    return words.get(action, action)


def likely_labels(votes: Sequence[int], given: int | None, n_classes: int, *, most: int = 9) -> list[int]:
    """The labels to offer first: those that voices voted for, the commonest first, then the rest in order.

    >>> likely_labels([2, 1, 2], 0, 5, most=4)
    [2, 1, 3, 4]
    """
    counts = {label: list(votes).count(label) for label in votes if 0 <= label < n_classes}
    order = sorted(counts, key=lambda label: (-counts[label], label))
    order += [label for label in range(n_classes) if label not in counts]
    return [label for label in order if label != given][:most]
