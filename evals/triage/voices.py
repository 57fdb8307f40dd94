"""Voices: what something that has not seen an example's label thinks of it, and listening to all of them, twice.

The first time the voices that are made here learn from the labels as they are given. The second time each learns from
what the consensus made of them, two thirds of a label's say going to what it believes the label to be: what an example
is told by others is then less wrong. A label counts for its own example neither time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.channel import judge
from evals.triage.consensus import Consensus, fit_consensus, pool, without_shares
from evals.triage.folds import assign_folds
from evals.triage.linear import linear_opinion
from evals.triage.members import Words, one_hot
from evals.triage.neighbours import Neighbours, nearest, vote
from evals.triage.rows import blocks

Singles = npt.NDArray[np.float32]

N_FOLDS, N_NEIGHBOURS = 5, 15
_BELIEVED = 2 / 3


@dataclass(frozen=True)
class Voices:
    """opinions: log-probabilities (n, n_classes) out of fold, by name, a row with nan = not known. in_sample: risks
    (n,) in [0, 1] of models that saw the labels, by name, nan = not known; `area_under_margin@RUN` says above 0.5 that
    the run preferred another label."""

    opinions: Mapping[str, Floats] = field(default_factory=dict)
    in_sample: Mapping[str, Floats] = field(default_factory=dict)


class NothingToAudit(ValueError):
    """Neither texts nor embeddings nor opinions: there is no voice to ask."""


@dataclass(frozen=True)
class Heard:
    """opinions by name, as if all classes were equally common; what they come to together (n, n_classes)."""

    opinions: Mapping[str, Floats]
    consensus: Consensus
    pooled: Singles


class Listener:
    """What voices are made from, and what does not depend on labels."""

    def __init__(
        self,
        given: Ints,
        n_classes: int,
        *,
        texts: Sequence[str] | None = None,
        embeddings: Floats | None = None,
        neighbours: Neighbours | None = None,
        groups: Ints | None = None,
        seed: int = 0,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """The arguments are those of `audit.label_audit`."""
        each = {"texts": texts, "embeddings": embeddings, "groups": groups}
        problems = [
            f"{name} has {len(values)} rows; needed: one an example, {len(given)}"
            for name, values in each.items()
            if values is not None and len(values) != len(given)
        ]
        if problems:
            raise ValueError("; ".join(problems))
        self.given, self.n_classes, self.seed = given, n_classes, seed
        self._tell = progress or (lambda _: None)
        self._embeddings, self._neighbours = embeddings, neighbours
        if neighbours is None and embeddings is not None:
            self._tell("looking for the nearest neighbours")
            self._neighbours = nearest(embeddings, N_NEIGHBOURS)
        self._words: Words | None = None
        if texts is not None:
            self._tell("reading the words")
            self._words = Words(texts)
        self._folds = assign_folds(given, N_FOLDS, groups=groups, seed=seed)

    def listen(self, others: Mapping[str, Floats]) -> tuple[Heard, Heard]:
        """What is heard the first and the second time; `others` are opinions that are not made here.

        Raises NothingToAudit without any voice.
        """
        free = {name: without_shares(opinion, self.given) for name, opinion in others.items()}
        first = self._heard(self._opinions(one_hot(self.given, self.n_classes)) | free)
        own = self._opinions(self._believed(first))
        return first, self._heard(own | free) if own else first

    def _opinions(self, targets: Singles) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        if self._words is not None:
            self._tell("asking the words")
            found |= self._words.opinions(targets, self.given, self._folds)
        if self._neighbours is not None:
            found["neighbours"] = without_shares(vote(self._neighbours, targets), self.given)
        if self._embeddings is not None:
            self._tell("asking a linear model")
            found["linear"] = linear_opinion(self._embeddings, targets, self.given, self._folds, seed=self.seed)
        return found

    def _heard(self, opinions: Mapping[str, Floats]) -> Heard:
        if not opinions:
            raise NothingToAudit("no texts, no embeddings and no out-of-fold opinions: there is no voice to ask")
        self._tell("weighing the voices")
        voices = list(opinions.values())
        consensus = fit_consensus(voices, self.given, seed=self.seed)
        return Heard(opinions, consensus, pool(voices, consensus.weights))

    def _believed(self, heard: Heard) -> Singles:
        """Targets (n, n_classes): part what the consensus believes, part the given label; zeros without a label."""
        targets = one_hot(self.given, self.n_classes)
        for part in blocks(*targets.shape):
            labels = self.given[part]
            judged = judge(heard.pooled[part], labels, heard.consensus.channel)[0]
            known = (labels >= 0) & ~np.isnan(judged).any(axis=1)
            mixed = _BELIEVED * judged + (1 - _BELIEVED) * targets[part]
            targets[part] = np.where(known[:, None], mixed, targets[part])
        return targets
