"""What identifies a triage: what it looks at, and how. Loads no torch: what is there already is said at once."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from evals.tags import Scheme
from evals.triage.findings import DETECTORS
from runner.crossval.targets import width
from runner.triage.embedding import Encoder, find_encoder
from runner.triage.rows import unjudged
from runner.triage.sources import Sources
from store import Dataset, Store, list_opinions

VERSION = 5
"""Of the scores and of what the steps hand to detectors: goes up when the same data may give other numbers."""


@dataclass(frozen=True)
class Options:
    """How to look. model: an encoder instead of the one that is found."""

    with_canaries: bool = True
    model: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Heard:
    """An opinion in the store that is listened to."""

    key: int
    id: str
    name: str
    fingerprint: str


@dataclass(frozen=True)
class Identity:
    """One dataset version under one way of looking at it."""

    store: Store
    sources: Sources
    options: Options

    @property
    def dataset(self) -> Dataset:
        return self.sources.dataset

    @cached_property
    def encoder(self) -> Encoder | None:
        return find_encoder(self.store, self.sources, self.options.model)

    @cached_property
    def opinions(self) -> tuple[Heard, ...]:
        """Cross-validations of which no fold is missing, the newest first."""
        known = list_opinions(self.store, self.dataset)
        n_labels, kind = len(self.dataset.label_names or ()), unjudged(self.store, self.dataset)
        widths = {width(kind, n_labels, scheme.value) for scheme in Scheme}
        wanted = known[known["n_classes"].isin(widths) & known["is_complete"] & (known["n_known"] > 0)]
        return tuple(
            Heard(int(row["key"]), row["id"], row["name"], row["fingerprint"]) for row in wanted.to_dict("records")
        )

    @property
    def versions(self) -> dict[str, int]:
        """Of the whole, and of each kind of finding."""
        return {"triage": VERSION, **{detector.kind: detector.version for detector in DETECTORS}}

    @property
    def source_list(self) -> list[dict[str, object]]:
        """What it looks at, as the store keeps it."""
        runs: list[dict[str, object]] = [
            {"kind": "run", "id": run.id, "name": run.name, "method": run.method, "in_sample": True}
            for run in self.sources.runs
        ]
        opinions: list[dict[str, object]] = [
            {"kind": "opinion", "id": each.id, "name": each.name, "in_sample": False} for each in self.opinions
        ]
        encoder = self.encoder
        if encoder is None:
            return [*runs, *opinions]
        return [*runs, *opinions, {"kind": "encoder", "name": encoder.name, "in_sample": not encoder.is_frozen}]

    @cached_property
    def fingerprint(self) -> str:
        """Equal for two triages that would say the same."""
        identity = {
            "versions": self.versions,
            "dataset": self.dataset.key,
            "runs": [run.id for run in self.sources.runs],
            "opinions": [each.fingerprint for each in self.opinions],
            "encoder": None if self.encoder is None else self.encoder.identity,
            "with_canaries": self.options.with_canaries,
            "seed": self.options.seed,
        }
        text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
