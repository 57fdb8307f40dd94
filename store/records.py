"""What the store hands out: frozen records, one per kind of row a caller holds on to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, NewType

RunId = NewType("RunId", str)


class Status(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    PRUNED = "pruned"


class NewRow(NamedTuple):
    """One row to put into a dataset version."""

    split: str
    text: str
    target: int | float | str | None
    """A label's index, a number, text, or JSON of what is neither."""
    metadata: Mapping[str, object] | None = None
    inputs: Mapping[str, Any] | None = None
    """What the model gets, by name; None: `text` is all of it."""


@dataclass(frozen=True)
class Dataset:
    """A named, immutable dataset version."""

    key: int
    name: str
    version: int
    fingerprint: str
    label_names: tuple[str, ...] | None
    source: Mapping[str, object]
    n_rows: Mapping[str, int]
    parent_key: int | None
    created_at: float

    @property
    def cleaning(self) -> str | None:
        """What was done to its texts before they were stored, in words; None for nothing."""
        steps = self.source.get("clean")
        if not isinstance(steps, Mapping) or not steps:
            return None
        return ", ".join(name if value is True else f"{name} {value}" for name, value in steps.items())

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class NewRun:
    """What is known of a run before it begins. Only the name is required: foreign scripts know little else."""

    name: str
    task: str | None = None
    method: str | None = None
    base_model: str | None = None
    recipe_text: str | None = None
    recipe: Mapping[str, object] | None = None
    recipe_hash: str | None = None
    dataset_key: int | None = None
    provenance: Mapping[str, object] | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    select_metric: str | None = None


@dataclass(frozen=True)
class Run:
    """One execution of a resolved recipe, as the store knows it."""

    key: int
    id: RunId
    name: str
    task: str | None
    method: str | None
    base_model: str | None
    status: Status
    cause: str | None
    recipe_text: str | None
    recipe: Mapping[str, object] | None
    recipe_hash: str | None
    dataset_key: int | None
    provenance: Mapping[str, object] | None
    tags: tuple[str, ...]
    note: str
    created_at: float
    started_at: float | None
    ended_at: float | None
    select_metric: str | None
    version: int


@dataclass(frozen=True)
class Holder:
    """A process on a host that has something in hand."""

    host: str
    boot_id: str | None
    pid: int
    process_started_at: float
    """Tells a process from a later one with the same number."""
    heartbeat_at: float
    oom_kills: int | None
    """The kernel's count of out-of-memory kills when it began."""


@dataclass(frozen=True)
class Lease(Holder):
    """Who holds a running run."""

    rows_pending: int
    rows_lost: int


@dataclass(frozen=True)
class Checkpoint:
    """A saved model: a folder of safetensors, or a URL."""

    key: int
    run_key: int
    segment: int
    step: int
    epoch: float | None
    path: str
    size_bytes: int
    sha256: str
    manifest: Mapping[str, str]
    is_best: bool
    created_at: float
    deleted_at: float | None


@dataclass(frozen=True)
class Evaluation:
    """One pass of one checkpoint over one split."""

    key: int
    run_key: int
    segment: int
    step: int
    epoch: float | None
    split: str
    n_examples: int
    is_best: bool
    at: float


class ScoreRow(NamedTuple):
    """A metric of an evaluation with its 95 % interval; None where it was not measured."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class RunCost:
    """What a run took. None = not measured."""

    wall_seconds: float | None = None
    """From start to stop."""
    train_seconds: float | None = None
    """Wall time of training, without the evaluations in between."""
    eval_seconds: float | None = None
    """Wall time of the evaluations."""
    device_seconds: float | None = None
    """CUDA and other accelerators: wall seconds × devices held, busy or not. CPU: CPU seconds of the run's process
    and of its children that have ended."""
    peak_host_bytes: int | None = None
    """Largest resident memory of the process and its children during the run."""
    peak_device_bytes: int | None = None
    """Largest memory that torch had allocated on any one CUDA device during the run."""
    trainable_parameters: int | None = None
    total_parameters: int | None = None
    tokens_seen: int | None = None
    """Training tokens as the model got them."""
    examples_seen: int | None = None
    """Training examples, each epoch counted again."""
    tokens_per_second: float | None = None
    """Over `train_seconds`."""
    examples_per_second: float | None = None
    """Over `train_seconds`."""
    data_wait_share: float | None = None
    """Share of `train_seconds` spent waiting for batches, in [0, 1]."""
    device_utilisation: float | None = None
    """Mean over samples and GPUs, in [0, 1]."""
    energy_joules: float | None = None
    """Energy of the GPUs from start to stop: NVML's counter, or else sampled power integrated over time."""
    preparing_seconds: float | None = None
    """Wall time of having ready what later runs find ready (features of a frozen base model). It is in no other time
    here and not in the energy: else the first of several runs would seem to cost more than the others."""


class SystemSample(NamedTuple):
    """What one look at the machine saw; None = not measured."""

    at: float
    """Unix time in seconds."""
    cpu_percent: float | None
    """CPU use of the run's process and its children since the sample before; 100 is one core fully busy."""
    host_bytes: int | None
    """Resident memory of that process plus its children; pages that they share are counted in each."""
    device_utilisation: float | None
    """Mean over the GPUs of the share of the last moments in which a kernel ran, in [0, 1]."""
    device_bytes: int | None
    """Memory in use on the GPUs, summed; other processes on the same GPUs are included."""
    power_watts: float | None
    """Power drawn by the GPUs, summed."""


class Objective(NamedTuple):
    """What a sweep looks for: a metric such as validation/macro_f1, cost/wall_seconds or latency/ms, and its better
    direction."""

    metric: str
    direction: Literal["maximize", "minimize"]


@dataclass(frozen=True)
class NewSweep:
    """What is known of a sweep before it begins."""

    name: str
    recipe_text: str
    recipe: Mapping[str, object]
    """Resolved, with its [sweep]."""
    fingerprint: str
    """Of the search: equal for two recipes that look for the same in the same space, on the same data."""
    objectives: tuple[Objective, ...]
    n_trials: int | None = None
    """Configurations wanted; None: as many as there are."""
    recipe_path: str | None = None
    dataset_key: int | None = None
    """The version that all its trials train on; None where they differ in it."""
    parent_key: int | None = None
    """The sweep that this one is an edit of."""
    written: Mapping[str, object] = field(default_factory=dict)
    """What the recipe and its bases say, without defaults: a trial's method brings its own."""
    is_fresh: bool = False
    """It reuses no run that was there before."""


@dataclass(frozen=True)
class Sweep:
    """A search over recipes: its trials are runs. Fields as in `NewSweep`."""

    key: int
    id: str
    name: str
    status: Status
    cause: str | None
    """Why it ended, in a sentence."""
    recipe_text: str
    recipe: Mapping[str, Any]
    written: Mapping[str, Any]
    recipe_path: str | None
    fingerprint: str
    objectives: tuple[Objective, ...]
    n_trials: int | None
    is_fresh: bool
    dataset_key: int | None
    wall_seconds: float
    """Of its drivers, one after the other."""
    parent_key: int | None
    request: str | None
    """`stop`, where somebody asked its driver to."""
    created_at: float
    ended_at: float | None
    version: int
    holder: Holder | None
    """The driver, while there is one."""


@dataclass(frozen=True)
class NewTrial:
    """A trial as it is asked for: configuration `number` (from 0) with one seed."""

    number: int
    seed: int
    parameters: Mapping[str, Any]
    """Recipe path → value."""
    recipe_hash: str
    sampler_state: Mapping[str, Any] | None = None
    """What sampler and pruner want to find again."""
    status: Status = Status.QUEUED
    cause: str | None = None
    run_key: int | None = None
    """A run of the same resolved recipe that was there before: reused, or to be gone on with."""
    objective_values: tuple[float | None, ...] | None = None
    """Of the reused run, in the order of the sweep's objectives."""
    is_reused: bool = False
    """The run was there before, and the sweep does not pay for it."""
    latency_ms: tuple[float, float] | None = None
    """Where the objective `latency/ms` was measured: low and high of its interval."""


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed; its numbers are its run's. Fields as in `NewTrial`."""

    key: int
    sweep_key: int
    number: int
    seed: int
    parameters: Mapping[str, Any]
    status: Status
    cause: str | None
    recipe_hash: str
    run_key: int | None
    is_reused: bool
    n_attempts: int
    """How often it failed, plus the attempt that goes on or ended well. What was killed did not fail."""
    n_promotions: int
    """How often it was pruned and taken up again."""
    objective_values: tuple[float | None, ...] | None
    sampler_state: Mapping[str, Any] | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    held_seconds: float | None = None
    """Seconds of a device that it held in this sweep, from its worker's start on; of a device that several trials held
    at once each has its share. None: none of them was written down yet."""
    latency_ms: tuple[float, float] | None = None


class TrialReport(NamedTuple):
    """What a trial said at a rung; the value is the first objective's, None where it was not measured."""

    rung: int
    step: int
    epoch: float | None
    value: float | None
