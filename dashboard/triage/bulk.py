"""What is done to many examples at once, and what it would be, in words."""

from collections.abc import Sequence

import pandas as pd

from dashboard.formats import count, is_known
from dashboard.triage.proposals import Offer, is_unsure
from dashboard.triage.worklist import places_of, records
from store import Action, NewDecision

ACCEPT, LABEL = "Accept the suggestion", "Label as …"
ACTIONS = {
    ACCEPT: Action.RELABEL,
    "Keep": Action.KEEP,
    "Drop": Action.DROP,
    LABEL: Action.RELABEL,
    "Skip": Action.SKIP,
}
_OTHER = {"spans": "other spans", "sets of labels": "other labels", "numbers": "another number"}


def bulk_decisions(
    rows: pd.DataFrame, what: str, *, label: int | None, triage_key: int, kinds: Sequence[str] = ()
) -> list[NewDecision]:
    """The same decision on many rows (columns split, position, given); one that has the label already is kept.

    >>> rows = pd.DataFrame({"split": "train", "position": [1, 2], "given": [0, 1]})
    >>> found = bulk_decisions(rows, LABEL, label=1, triage_key=1)
    >>> [(each.position, str(each.action), each.label) for each in found]
    [(1, 'relabel', 1), (2, 'keep', None)]
    """
    found = []
    for (split, position), given in zip(places_of(rows), rows["given"], strict=True):
        action, new = ACTIONS[what], label
        if action is Action.RELABEL and new is not None and not pd.isna(given) and int(given) == new:
            action, new = Action.KEEP, None
        finding = kinds[0] if kinds else None
        found.append(NewDecision(split, position, action, new, finding=finding, triage_key=triage_key))
    return found


def accepted(rows: pd.DataFrame, offers: Sequence[Offer], triage_key: int) -> list[NewDecision]:
    """What accepting does to each of many rows (columns split, position, given, suggested), whatever is suggested.

    Left out is what has no suggestion, and what is listed as wrong though its own label is the likeliest: that is to be
    read. Where the label that it has is suggested otherwise, the example is kept.

    >>> from dashboard.triage.proposals import offer
    >>> rows = pd.DataFrame({"split": "train", "position": [1, 2, 3], "given": [0, 0, 1], "suggested": [1, None, 1]})
    >>> def decided(*found):
    ...     offers = [offer(row, each, (), ["no", "yes"]) for row, each in zip(records(rows), found)]
    ...     return [(each.position, str(each.action), each.label) for each in accepted(rows, offers, 1)]
    >>> decided({}, {"exact_duplicate": {}}, {})
    [(1, 'relabel', 1), (2, 'drop', None), (3, 'keep', None)]
    >>> decided({}, {"outlier": {}}, {"label_error": {}})
    [(1, 'relabel', 1)]
    """
    found = []
    for row, (kind, offered) in zip(records(rows), offers, strict=True):
        suggested = row["suggested"]
        if offered.action is Action.KEEP and (
            not is_known(suggested) or suggested != row["given"] or is_unsure(row, kind)
        ):
            continue
        found.append(
            NewDecision(
                str(row["split"]), int(row["position"]), offered.action, offered.label, offered.text, finding=kind,
                triage_key=triage_key,
            )
        )  # fmt: skip
    return found


def accepted_words(decisions: Sequence[NewDecision], n: int, unjudged: object = None) -> str:
    """What accepting for n examples does; what only counts as kept is not what a person expects of it.

    unjudged: what the examples have in place of one label.

    >>> decisions = [NewDecision("train", at, action) for at, action in enumerate(("relabel", "keep", "drop", "drop"))]
    >>> print(accepted_words(decisions, 5))
    1 gets another label, 2 are dropped; 1 has no other and counts as looked at and kept; 1 has nothing to accept and \
is left out.
    >>> accepted_words([], 3, "numbers")
    '3 have nothing to accept and are left out.'
    """
    n_of = {action: sum(each.action == action for each in decisions) for action in Action}
    n_left = n - len(decisions)
    changed = [
        _counted(n_of[Action.RELABEL], "gets", "get", _OTHER.get(str(unjudged), "another label")),
        _counted(n_of[Action.EDIT], "gets", "get", "another text"),
        _counted(n_of[Action.DROP], "is", "are", "dropped"),
    ]
    parts = [
        ", ".join(filter(None, changed)),
        _counted(n_of[Action.KEEP], "has no other and counts", "have no other and count", "as looked at and kept"),
        _counted(n_left, "has nothing to accept and is", "have nothing to accept and are", "left out"),
    ]
    return "; ".join(filter(None, parts)) + "."


def _counted(n: int, one: str, many: str, what: str) -> str:
    return f"{count(n)} {one if n == 1 else many} {what}" if n else ""
