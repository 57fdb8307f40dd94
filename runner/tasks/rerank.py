"""How well documents answer queries: one score for each pair, judged query by query."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from evals.classification import prediction_columns
from evals.language import score_loss
from evals.ranking import score_ranking
from runner.backbone import Backbone
from runner.data.problems import DataError
from runner.data.relevance import all_the_same
from runner.encoding import EncodedSplit
from runner.tasks.objective import RelevanceEntropy, two_classes
from runner.tasks.pooled import Pooled
from runner.tasks.scores import no_classes
from runner.tasks.task import Examination, OutputsBroken, Reading, Said
from store import Dataset, Predictions, Store, read_queries, read_values

if TYPE_CHECKING:
    from runner.experiment import Experiment
    from runner.recipe import Recipe


class Rerank(Pooled):
    """One score, for a query and a document read together. Its sigmoid is learnt to be the expected share of the
    highest relevance; where relevance is 0 or 1, the probability that the document is relevant."""

    name = "rerank"

    def n_outputs(self, dataset: Dataset) -> int:
        return 1

    def n_logits(self, dataset: Dataset) -> int | None:
        """Two classes where relevance is 0 or 1."""
        return 2 if dataset.label_names else None

    def targets(self, store: Store, dataset: Dataset, split: str) -> NDArray[np.float32]:
        """(n,) relevance."""
        return np.array(read_values(store, dataset, split), dtype=np.float32)

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        encoded = super().encode(store, dataset, split, backbone, recipe, progress)
        queries = np.unique(read_queries(store, dataset, split), return_inverse=True)[1]
        return replace(encoded, groups=queries.astype(np.int64))

    def objective(self, experiment: "Experiment") -> RelevanceEntropy:
        if problem := all_the_same(experiment.splits["train"].labels, "relevance"):
            raise DataError([problem])
        return RelevanceEntropy(**self.settings(experiment), is_binary=bool(experiment.label_names))

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        """`most`: the highest relevance of the training data."""
        return {"most": float(experiment.splits["train"].labels.max()) or 1.0}

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "RankExaminer":
        return RankExaminer(settings, with_predictions, is_binary=bool(label_names))


class RankExaminer:
    """Metrics of rankings by query, and what is said of each document."""

    def __init__(self, settings: Mapping[str, Any], with_predictions: bool, *, is_binary: bool) -> None:
        self.settings, self._with_predictions, self._is_binary = settings, with_predictions, is_binary
        """`most`: the relevance that a sigmoid of 1 stands for."""

    def examine(self, name: str, outputs: NDArray[np.float32], split: EncodedSplit) -> Examination:
        if not np.isfinite(outputs).all():
            raise OutputsBroken
        assert split.groups is not None, "rows of a query are judged together"
        given, most = split.labels, self.settings["most"]
        logits = torch.from_numpy(outputs)
        # relevance above all of training counts as the highest there
        wanted = torch.from_numpy(np.minimum(given / most, 1.0)).float()
        losses = functional.binary_cross_entropy_with_logits(logits[:, 0], wanted, reduction="none").numpy()
        nats = np.bincount(split.groups, weights=losses).astype(np.float64)
        loss = score_loss(nats, np.bincount(split.groups))  # resamples draw queries
        ranked = score_ranking(split.groups, given.astype(np.float64), outputs[:, 0].astype(np.float64))
        scores = (*ranked, loss._replace(n=len(given)))
        said = (logits[:, 0].double().sigmoid() * most).tolist()
        found = Examination(scores, None, said=lambda: Said(said, given.tolist()))
        if not self._with_predictions:
            return found
        predictions = no_classes(losses)
        if self._is_binary:
            log_probs = functional.log_softmax(two_classes(logits), dim=1).numpy()
            predictions = Predictions(*prediction_columns(given.astype(np.int64), log_probs))
        responses = [
            json.dumps({"score": float(f"{score:.6g}"), "logit": float(f"{logit:.6g}")})
            for score, logit in zip(said, outputs[:, 0].tolist(), strict=True)
        ]
        return found._replace(predictions=predictions, responses=responses)
