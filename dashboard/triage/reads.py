"""What the Triage page reads, cached as in `dashboard.queries`.

A finished triage and a data set version never change; what was decided moves with the decisions' own number, so that a
live run elsewhere in the store makes nothing here old.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from dashboard.source import Source
from dashboard.triage.summary import Summary, read_summary
from dashboard.triage.worklist import Place, by_split, places_of
from evals.dynamics import decode
from evals.triage.phrases import KINDS
from store import (
    Dataset,
    Progress,
    QueueFilter,
    Store,
    Triage,
    count_changes,
    count_findings,
    count_queue,
    current_decisions,
    decision_progress,
    decision_version,
    finished_steps,
    get_dataset,
    get_run,
    get_triage,
    latest_triage,
    list_changes,
    list_columns,
    list_datasets,
    list_facets,
    list_findings,
    list_groups,
    list_places,
    list_queue,
    list_runs,
    list_triages,
    list_version_changes,
    list_views,
    read_column,
    read_column_at,
    read_example_dynamics,
    read_inputs,
    read_rows,
    reading,
)
from store.errors import RunNotFound


@dataclass(frozen=True)
class Desk:
    """What the page works on: one finished triage of one data set version, and how many decisions there were."""

    path: str
    triage: Triage
    dataset: Dataset
    n_decisions: int
    """`store.decision_version`: a key for what changes when anybody decides."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """The classes that an example may be given; empty where the data have none, or examples have sets of them."""
        return () if self.triage.summary.get("unjudged") else self.dataset.label_names or ()

    @property
    def key(self) -> tuple[str, int, int]:
        """All that what is read about it depends on."""
        return self.path, self.triage.key, self.n_decisions


Fitting = dict[str, npt.NDArray[np.int64]]
"""Positions of each split that pass the filters."""

_DESK: dict[str | type, Callable[[Any], Any]] = {Desk: lambda desk: desk.key}
"""How Streamlit's cache tells desks apart."""


# which data set ----------------------------------------------------------------------------------------------------


def triages(source: Source) -> pd.DataFrame:
    """`store.list_triages`: the newest first."""
    return _triages(*source)


@st.cache_data(show_spinner=False, max_entries=16)
def _triages(path: str, version: int) -> pd.DataFrame:
    with reading(path) as store:
        return list_triages(store)


def desk(source: Source, dataset_key: int) -> Desk | None:
    """The newest finished triage of a data set version; None where there is none yet."""
    return _desk(*source, dataset_key)


@st.cache_data(show_spinner=False, max_entries=16)
def _desk(path: str, version: int, dataset_key: int) -> Desk | None:
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        triage = latest_triage(store, dataset_key)
        return Desk(path, triage, dataset, decision_version(store, dataset)) if triage else None


def unfinished(source: Source, dataset_key: int) -> tuple[Triage, dict[str, float | None]] | None:
    """A newer triage that runs, or failed, with its finished steps; None where the newest has finished."""
    with reading(source.path) as store:
        triage = latest_triage(store, dataset_key, finished=False)
        if triage is None or triage.status == "finished":
            return None
        return triage, finished_steps(store, triage.key)


def triage(path: str, key: int) -> Triage:
    """One triage as it is now."""
    with reading(path) as store:
        return get_triage(store, key)


@st.cache_data(show_spinner=False, max_entries=16)
def summary(path: str, triage_key: int, label_names: tuple[str, ...]) -> Summary:
    """What a finished triage says of the whole."""
    with reading(path) as store:
        return read_summary(get_triage(store, triage_key).summary, label_names)


# findings and the queue --------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=32, hash_funcs=_DESK)
def findings(desk: Desk) -> pd.DataFrame:
    """`store.count_findings`."""
    with reading(desk.path) as store:
        return count_findings(store, desk.triage.key)


@st.cache_data(show_spinner=False, max_entries=32)
def groups(path: str, triage_key: int, kind: str | None) -> pd.DataFrame:
    """`store.list_groups`."""
    with reading(path) as store:
        return list_groups(store, triage_key, kind)


def places(desk: Desk, filters: QueueFilter, limit: int) -> list[Place]:
    """The first examples of the queue as it is now: `store.list_places`."""
    with reading(desk.path) as store:
        return places_of(list_places(store, desk.triage, desk.dataset, filters=filters, limit=limit))


def rows_at(desk: Desk, wanted: Sequence[Place]) -> pd.DataFrame:
    """`store.list_queue` of these examples, as they are now, in any order."""
    filters = QueueFilter(positions=by_split(wanted))
    with reading(desk.path) as store:
        return list_queue(store, desk.triage, desk.dataset, filters=filters, limit=len(wanted))


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_DESK)
def page(desk: Desk, filters: QueueFilter, offset: int, limit: int) -> pd.DataFrame:
    """One page of `store.list_queue`."""
    with reading(desk.path) as store:
        return list_queue(store, desk.triage, desk.dataset, filters=filters, offset=offset, limit=limit)


@st.cache_data(show_spinner=False, max_entries=128, hash_funcs=_DESK)
def n_waiting(desk: Desk, filters: QueueFilter) -> int:
    """`store.count_queue`."""
    with reading(desk.path) as store:
        return count_queue(store, desk.triage, desk.dataset, filters)


def rows_to_decide(desk: Desk, filters: QueueFilter, limit: int) -> pd.DataFrame:
    """`store.list_places` as it is now: columns split, position, given, suggested."""
    with reading(desk.path) as store:
        return list_places(store, desk.triage, desk.dataset, filters=filters, limit=limit)


def evidence_at(desk: Desk, wanted: Sequence[Place]) -> dict[Place, dict[str, Mapping[str, Any]]]:
    """The evidence of the findings of these examples, by kind; nothing for an example of which nothing was found."""
    with reading(desk.path) as store:
        found = list_findings(store, desk.triage.key, positions=by_split(wanted), limit=len(KINDS) * len(wanted))
    evidence: dict[Place, dict[str, Mapping[str, Any]]] = {}
    for place, kind, each in zip(places_of(found), found["kind"], found["evidence"], strict=True):
        evidence.setdefault(place, {})[kind] = each
    return evidence


@st.cache_data(show_spinner=False, max_entries=16, hash_funcs=_DESK)
def allowed(desk: Desk, filters: QueueFilter) -> Fitting | None:
    """The positions that pass the filters, by split; None where they ask for nothing."""
    if filters == QueueFilter():
        return None
    with reading(desk.path) as store:
        found = list_places(store, desk.triage, desk.dataset, filters=filters)
    return {str(split): part["position"].to_numpy(dtype=np.int64) for split, part in found.groupby("split", sort=False)}


@st.cache_data(show_spinner=False, max_entries=4)
def leading_kinds(path: str, triage_key: int) -> dict[Place, str]:
    """The finding that is the most of each example that has any, over all splits."""
    with reading(path) as store:
        found = list_findings(store, triage_key, limit=1_000_000)
    ranks = {kind: rank for rank, kind in enumerate(KINDS)}
    rank = [ranks.get(kind, len(ranks)) for kind in found["kind"]]
    first = found.assign(rank=rank).sort_values("rank", kind="stable").drop_duplicates(["split", "position"])
    return dict(zip(places_of(first), first["kind"].tolist(), strict=True))


@st.cache_data(show_spinner=False, max_entries=16)
def texts_at(path: str, dataset_key: int, wanted: tuple[Place, ...]) -> list[str]:
    """The texts of these examples, in their order."""
    texts: dict[Place, str] = {}
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        for split, positions in by_split(wanted).items():
            rows = read_rows(store, dataset, split, positions=positions)
            texts |= {(split, int(at)): text for at, text in zip(rows["position"], rows["text"], strict=True)}
    return [texts[(split, int(at))] for split, at in wanted]


def inputs(desk: Desk, example_id: str) -> Mapping[str, Any]:
    """What a model gets of an example, by name: `store.read_inputs`."""
    return _inputs(desk.path, example_id)


@st.cache_data(show_spinner=False, max_entries=1024)
def _inputs(path: str, example_id: str) -> Mapping[str, Any]:
    with reading(path) as store:
        return read_inputs(store, [example_id])[example_id]


def is_one_text(desk: Desk) -> bool:
    """Whether examples are one text each, so that another one can take its place: no pairs, no sentences of words."""
    return _is_one_text(desk.path, desk.dataset.key)


@st.cache_data(show_spinner=False, max_entries=64)
def _is_one_text(path: str, dataset_key: int) -> bool:
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        for split in (name for name, n in dataset.n_rows.items() if n):
            (found,) = read_inputs(store, read_rows(store, dataset, split, limit=1)["example_id"]).values()
            return len(found) == 1 and all(isinstance(value, str) for value in found.values())
    return True


@st.cache_data(show_spinner=False, max_entries=16)
def facets(path: str, dataset_key: int) -> pd.DataFrame:
    """`store.list_facets`."""
    with reading(path) as store:
        return list_facets(store, get_dataset(store, dataset_key))


# decisions ---------------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=16, hash_funcs=_DESK)
def decided(desk: Desk, author: str | None = None) -> pd.DataFrame:
    """`store.current_decisions`."""
    with reading(desk.path) as store:
        return current_decisions(store, desk.dataset, author=author)


@st.cache_data(show_spinner=False, max_entries=32, hash_funcs=_DESK)
def n_changes(desk: Desk) -> dict[str, int]:
    """`store.count_changes`."""
    with reading(desk.path) as store:
        return count_changes(store, desk.dataset)


def changes_now(desk: Desk) -> pd.DataFrame:
    """All of `store.list_changes` as it is at this moment."""
    with reading(desk.path) as store:
        return list_changes(store, desk.dataset, limit=sum(desk.dataset.n_rows.values()))


@st.cache_data(show_spinner=False, max_entries=8)
def version_changes(path: str, dataset_key: int) -> pd.DataFrame:
    """All of `store.list_version_changes`: what made a version."""
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        return list_version_changes(store, dataset, limit=1_000_000)


def children(source: Source, dataset_key: int) -> list[Dataset]:
    """The versions made from this one, the newest first."""
    return _children(*source, dataset_key)


@st.cache_data(show_spinner=False, max_entries=16)
def _children(path: str, version: int, dataset_key: int) -> list[Dataset]:
    with reading(path) as store:
        found = [get_dataset(store, int(key)) for key in list_datasets(store)["key"]]
    return [dataset for dataset in found if dataset.parent_key == dataset_key]


def runs_on(source: Source, dataset: str, *, finished: bool = True) -> pd.DataFrame:
    """`store.list_runs` of a data set version (NAME@V), the newest first: finished ones that have a recipe, or all."""
    return _runs_on(*source, dataset, finished)


@st.cache_data(show_spinner=False, max_entries=16)
def _runs_on(path: str, version: int, dataset: str, finished: bool) -> pd.DataFrame:
    with reading(path) as store:
        return list_runs(store, dataset=dataset, status=["finished"] if finished else [])


def decided_now(desk: Desk) -> pd.DataFrame:
    """`store.current_decisions` as it is at this moment."""
    with reading(desk.path) as store:
        return current_decisions(store, desk.dataset)


def rate_of(how_far: Progress) -> float | None:
    """Decisions a minute of whoever decided last; None where that is not known."""
    latest = how_far.by_author.sort_values("last_at", na_position="first")
    return None if latest.empty else float(latest["per_minute"].iloc[-1])


def views(desk: Desk, split: str, position: int) -> pd.DataFrame:
    """`store.list_views`, as they are now."""
    with reading(desk.path) as store:
        return list_views(store, desk.dataset, split, position)


def progress(path: str, dataset: Dataset) -> Progress:
    """`store.decision_progress`, as it is now."""
    with reading(path) as store:
        return decision_progress(store, dataset)


# arrays ------------------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=32)
def columns(path: str, triage_key: int) -> pd.DataFrame:
    """`store.list_columns`."""
    with reading(path) as store:
        return list_columns(store, triage_key)


@st.cache_data(show_spinner=False, max_entries=32)
def column(path: str, triage_key: int, split: str, name: str) -> npt.NDArray[Any] | None:
    """`store.read_column`."""
    with reading(path) as store:
        return read_column(store, triage_key, split, name)


# one example -------------------------------------------------------------------------------------------------------


class Voice(NamedTuple):
    """What one voice thinks of one example: the likeliest class (-1: none) and the probability of the given label."""

    name: str
    predicted: int
    p_given: float


class History(NamedTuple):
    """Probabilities of the given label while a run trained on an example: one an epoch; and the class that the run
    thought likeliest in the last of them, -1 where it is not known."""

    run: str
    p_given: tuple[float, ...]
    said: int = -1


class Details(NamedTuple):
    """Everything that speaks for or against an example.

    findings: as `store.list_findings`. voices: by name. neighbours: the nearest training examples, columns position,
    similarity, example_id, target, label, text, the nearest first. histories: of every run that is still there and kept
    its dynamics.
    """

    findings: pd.DataFrame
    voices: tuple[Voice, ...]
    neighbours: pd.DataFrame
    histories: tuple[History, ...]


def details(desk: Desk, row: Mapping[str, Any]) -> Details:
    """Of one row of the queue; kept, as a finished triage never changes."""
    given = row.get("given")
    # of spans and texts a run keeps two numbers: as given (0), and something else
    none = 0 if desk.triage.summary.get("unjudged") in ("spans", "texts") else -1
    return _details(desk, str(row["split"]), int(row["position"]), none if given is None else int(given))


@st.cache_data(show_spinner=False, max_entries=1024, hash_funcs={Desk: lambda desk: desk.key[:2]})
def _details(desk: Desk, split: str, position: int, given: int) -> Details:
    key, named = desk.triage.key, columns(desk.path, desk.triage.key)
    names = sorted(named[named["split"] == split]["name"])
    with reading(desk.path) as store:
        return Details(
            list_findings(store, key, split=split, position=position),
            _voices(store, key, split, position, names),
            _neighbours(store, desk, split, position),
            _histories(store, desk.triage, position, given) if split == "train" and given >= 0 else (),
        )


def _voices(store: Store, triage_key: int, split: str, position: int, names: Sequence[str]) -> tuple[Voice, ...]:
    found = []
    for column_name in names:
        if not (column_name.startswith("voice:") and column_name.endswith(":predicted")):
            continue
        name = column_name.removeprefix("voice:").removesuffix(":predicted")
        predicted = read_column_at(store, triage_key, split, column_name, [position])
        p_given = read_column_at(store, triage_key, split, f"voice:{name}:p_given", [position])
        likeliest = -1 if predicted is None else int(predicted[0])
        found.append(Voice(name, likeliest, float("nan") if p_given is None else float(p_given[0])))
    return tuple(found)


_NEAR = ["position", "similarity", "example_id", "target", "label", "text"]


def neighbours(desk: Desk, split: str, position: int) -> pd.DataFrame:
    """The nearest training examples of any example, as in `Details`."""
    with reading(desk.path) as store:
        return _neighbours(store, desk, split, position)


def _neighbours(store: Store, desk: Desk, split: str, position: int) -> pd.DataFrame:
    near = read_column_at(store, desk.triage.key, split, "neighbours", [position])
    similar = read_column_at(store, desk.triage.key, split, "neighbour_similarity", [position])
    if near is None:
        return pd.DataFrame(columns=_NEAR)
    known = np.ravel(near[0]) >= 0
    order = np.ravel(near[0])[known].astype(int).tolist()
    rows = read_rows(store, desk.dataset, "train", positions=order).set_index("position").loc[order].reset_index()
    like = np.full(len(order), np.nan) if similar is None else np.ravel(similar[0])[known].astype(np.float64)
    found: pd.DataFrame = rows.assign(similarity=like)[_NEAR]
    return found


def _histories(store: Store, triage: Triage, position: int, given: int) -> tuple[History, ...]:
    found = []
    for run_id, name in run_sources(triage):
        try:
            run = get_run(store, run_id)
        except RunNotFound:  # it was removed since
            continue
        if run.dataset_key != triage.dataset_key:  # its positions are those of other data
            continue
        p_given, said = [], -1
        for row in read_example_dynamics(store, run.key, position):
            seen = decode(row.words, row.n_classes, np.array([given]))
            if int(seen.top_classes[0, 0]) >= 0:
                p_given.append(float(seen.p_given[0]))
                said = int(seen.top_classes[0, 0])
        if p_given:
            found.append(History(name, tuple(p_given), said))
    return tuple(found)


def run_sources(triage: Triage) -> list[tuple[str, str]]:
    """The runs that a triage looked at, as (id, name)."""
    return [
        (str(source["id"]), str(source.get("name") or source["id"]))
        for source in triage.sources
        if source.get("kind") == "run" and source.get("id")
    ]


_SCORES = {"wrong": "chance to be wrong", "consensus": "consensus of all voices"}
"""What scores are called that are no voice's."""


def voice_name(name: str, triage: Triage) -> str:
    """A voice or a score as it is shown: `area_under_margin@01ABC…` → `area under margin · NAME`."""
    what, _, source = name.partition("@")
    what = _SCORES.get(what, what)
    named = {str(each["id"]): str(each.get("name") or each["id"]) for each in triage.sources if each.get("id")}
    shown = named.get(source, source).replace("_", " ") if source else ""
    return f"{what.replace('_', ' ')}{f' · {shown}' if shown else ''}"


@st.cache_data(show_spinner=False, max_entries=64)
def rows_of(path: str, dataset_key: int, split: str) -> pd.DataFrame:
    """All rows of a split: `store.read_rows`."""
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        return read_rows(store, dataset, split, limit=dataset.n_rows.get(split, 0))
