"""What the URL asks of the Triage page: a filter, as parameters that a link carries."""

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.address import put
from evals.triage.phrases import title
from store import QueueFilter

TO_DO = "to do"
STATES = (TO_DO, "skipped", "decided", "disputed", "all")
"""What was done about an example."""

NAMES = ("kind", "given", "likely", "in", "words", "pattern", "field", "value", "by", "group", "like", "rows", "state")
"""Every parameter of the filter."""
MOST_ROWS = 200
"""Examples that a link names."""
_LASSO = "triage-lasso"


def asked_filter(
    asked: Mapping[str, str], label_names: Sequence[str], positions: Mapping[str, Sequence[int]] | None = None
) -> QueueFilter:
    """The filter of URL parameters; what makes no sense there is passed over.

    positions: by split, from a lasso or from "find similar"; None: all.

    >>> found = asked_filter({"kind": "label_error", "given": "1", "likely": "0", "state": "all"}, ["no", "yes"])
    >>> found.kinds, found.labels, found.suggested, found.decided
    (('label_error',), (1,), (0,), None)
    """
    given, likely = _class(asked.get("given"), label_names), _class(asked.get("likely"), label_names)
    split, field = asked.get("in"), asked.get("field")
    group = asked.get("group", "")
    state = asked["state"] if asked.get("state") in STATES else TO_DO
    return QueueFilter(
        kinds=(asked["kind"],) if asked.get("kind") else (),
        labels=() if given is None else (given,),
        suggested=() if likely is None else (likely,),
        splits=(split,) if split else (),
        search=asked.get("words", ""),
        regex=asked.get("pattern", ""),
        metadata=((field, asked.get("value", "")),) if field else (),
        author=asked.get("by") or None,
        group=int(group) if group.isdecimal() else None,
        positions=positions,
        decided={"decided": True, TO_DO: False}.get(state),
        skipped={"skipped": True, TO_DO: False}.get(state),
        disputed=True if state == "disputed" else None,
    )


def chips(asked: Mapping[str, str], label_names: Sequence[str], n_lasso: int = 0) -> list[tuple[str, str]]:
    """What narrows the queue, as (parameter, words) in the order of NAMES; the state is a control of its own.

    >>> chips({"kind": "outlier", "given": "1", "words": "card"}, ["no", "yes"])
    [('kind', 'outlier'), ('given', 'labelled yes'), ('words', 'with “card”')]
    """
    given, likely = _class(asked.get("given"), label_names), _class(asked.get("likely"), label_names)
    words = {
        "kind": title(asked["kind"]) if asked.get("kind") else "",
        "given": f"labelled {label_names[given]}" if given is not None else "",
        "likely": f"should be {label_names[likely]}" if likely is not None else "",
        "in": f"in {asked['in']}" if asked.get("in") else "",
        "words": f"with “{asked['words']}”" if asked.get("words") else "",
        "pattern": f"matching {asked['pattern']}" if asked.get("pattern") else "",
        "field": f"{asked['field']} = {asked.get('value', '')}" if asked.get("field") else "",
        "by": f"decided by {asked['by']}" if asked.get("by") else "",
        "group": "one group" if asked.get("group", "").isdecimal() else "",
        "like": f"similar to {asked['like'].replace(':', ' ')}" if asked.get("like") else "",
        "rows": "" if (rows := chosen_rows(asked)) is None else f"{sum(map(len, rows.values())):,} chosen examples",
    }
    found = [(name, text) for name, text in words.items() if text]
    return [*found, ("lasso", f"{n_lasso:,} in the lasso")] if n_lasso else found


def like(asked: Mapping[str, str]) -> tuple[str, int] | None:
    """The example whose neighbours are asked for, as (split, position).

    >>> like({"like": "train:12"}), like({"like": "nonsense"})
    (('train', 12), None)
    """
    split, _, position = asked.get("like", "").rpartition(":")
    return (split, int(position)) if split and position.isdecimal() else None


def chosen_rows(asked: Mapping[str, str]) -> dict[str, list[int]] | None:
    """The examples that a link names, such as those of one training batch, by split; None where it names none.

    >>> chosen_rows({"rows": "train:12,3"}), chosen_rows({"rows": "train:x"}), chosen_rows({})
    ({'train': [3, 12]}, None, None)
    """
    split, _, positions = asked.get("rows", "").rpartition(":")
    words = positions.split(",")
    return {split: sorted({int(word) for word in words})} if split and all(map(str.isdecimal, words)) else None


def rows_text(split: str, positions: Sequence[int]) -> str:
    """What `chosen_rows` reads, of the first `MOST_ROWS` positions: an address does not take any number.

    >>> rows_text("train", [12, 3])
    'train:12,3'
    """
    return f"{split}:{','.join(str(position) for position in positions[:MOST_ROWS])}"


# in the session ----------------------------------------------------------------------------------------------------


def ask(**parameters: str | None) -> None:
    """Put parameters into the URL, None takes one out; a callback of a click."""
    put(**parameters, page=None)


def forget(*names: str) -> None:
    """Take parts of the filter back; `lasso` is what was brushed on the map."""
    for name in names:
        if name == "lasso":
            st.session_state.pop(_LASSO, None)
        else:
            put(**{name: None}, **({"value": None} if name == "field" else {}))


def lasso() -> list[tuple[str, int]]:
    """What was brushed on the map: (split, position); nothing where it was not."""
    return list(st.session_state.get(_LASSO, ()))


def keep_lasso(places: Sequence[tuple[str, int]]) -> None:
    """Remember what was brushed."""
    st.session_state[_LASSO] = list(places)


def _class(text: str | None, label_names: Sequence[str]) -> int | None:
    return int(text) if text and text.isdecimal() and int(text) < len(label_names) else None
