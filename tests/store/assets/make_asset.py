"""Write a small store with every kind of row, as a file of the schema of the day.

Run once when a schema lands, before the next migration: `python -m tests.store.assets.make_asset m001_foundation`.
The file it makes is committed and never made again: the tests go on working with what old versions wrote.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from store import (
    Dataset,
    NewDecision,
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    Run,
    RunCost,
    ScoreRow,
    Status,
    Store,
    SystemSample,
    begin_triage,
    dataset_fingerprint,
    example_id,
    finish_triage,
    make_version,
    open_store,
    pause_job,
    queue_job,
    record_dataset,
    record_decision,
    record_decisions,
    record_opinion,
    record_run,
    record_step,
    undo_last,
)
from store.profiles import record_profile
from store.records import NewSweep, NewTrial, Objective, TrialReport
from store.ring import STEP, Steps
from store.sweeps import beat_sweep, get_sweep, record_sweep, release_sweep
from store.target_tokens import TargetTokens
from store.trial_jobs import send_message
from store.trials import end_trial, record_report, record_trial, set_trial_run, start_trial

TEXTS = ["a fine day", "rain again", "sun at last", "grey and cold"]
TARGETS = [1, 0, 1, 0]


def make_asset(path: Path) -> None:
    store = open_store(path)
    ids = np.frombuffer(b"".join(example_id({"text": text}) for text in TEXTS), dtype=np.uint8).reshape(-1, 16)
    splits = {name: (ids, np.array(TARGETS)) for name in ("train", "test")}
    dataset = record_dataset(
        store,
        "weather",
        [NewRow(split, text, target) for split in splits for text, target in zip(TEXTS, TARGETS, strict=True)],
        label_names=["bad", "good"],
        source={"kind": "asset"},
        fingerprint=dataset_fingerprint(["bad", "good"], splits),
    )
    new = NewRun("old", task="text-classification", method="head", dataset_key=dataset.key, tags=("kept",))
    run = record_run(store, new)
    with Recorder(store, run) as recorder:
        for step in range(10):
            recorder.log({"train/loss": 1.0 / (step + 1)}, step, epoch=step / 5, tokens=100 * step)
        recorder.log({"train/loss": float("nan")}, 10)
        predictions = Predictions(
            np.array([1, 0, 0, 0]),
            np.array([0.9, 0.8, 0.4, 0.7]),
            np.array([0.9, 0.8, 0.6, 0.7]),
            np.array([0.8, 0.6, -0.2, 0.4]),
            np.array([0.1, 0.2, 0.9, 0.3]),
        )
        scores = [ScoreRow("accuracy", 0.75, 0.3, 0.95, 4)]
        recorder.evaluation("test", 10, epoch=2.0, n_examples=4, scores=scores, predictions=predictions)
        recorder.dynamics(1, 10, n_classes=2, words=np.arange(8, dtype=np.uint16).reshape(4, 2))
        embeddings = {"test": np.arange(12, dtype=np.float16).reshape(4, 3)}
        recorder.embeddings(embeddings, dataset_key=dataset.key, fingerprint="encoder:weather", pooling="mean")
        offsets, halves = np.array([0, 2, 2, 3, 5]), np.arange(-5, 0, dtype=np.float16)
        recorder.target_tokens("train", TargetTokens(offsets, halves, halves - 1, None))
        recorder.checkpoint(
            10, epoch=2.0, path=f"runs/{run.id}/step-10", size_bytes=7, sha256="00", manifest={"m.safetensors": "00"}
        )
        recorder.best(10)
        recorder.event("note", "made for the tests")
        recorder.text("one line of the log\n")
        recorder.sample(SystemSample(1_000.0, 50.0, 2**30, None, None, None))
        recorder.cost(RunCost(wall_seconds=1.5))
    _work(store, run)
    _triage(store, dataset, run)
    _responses(store)
    _trial_job(store)
    record_profile(store, dataset.key, "f4", {"tokens": 12, "unknown": None})
    store.close()


def _work(store: Store, run: Run) -> None:
    """A sweep with a trial that is this run, a job that waits, and the steps before something went wrong."""
    objectives = (Objective("test/accuracy", "maximize"),)
    sweep = record_sweep(store, NewSweep("search", "# a recipe", {"name": "search"}, "f1", objectives, n_trials=3))
    trial = record_trial(store, sweep.key, NewTrial(0, 7, {"training.learning_rate": 0.01}, "h1"))
    start_trial(store, trial)
    set_trial_run(store, trial, run.key)
    record_report(store, trial, TrialReport(0, 5, 1.0, 0.5))
    end_trial(store, trial, Status.FINISHED, objective_values=[0.75], latency_ms=(1.5, 2.5))
    beat_sweep(store, sweep.key, 60.0, {trial.key: 45.0})
    release_sweep(store, sweep.key, Status.KILLED, "made for the tests")
    queue_job(store, "train", "waiting", {"recipe_text": "# a recipe"}, priority=2)
    rows = np.zeros(2, dtype=STEP)
    rows["step"], rows["loss"], rows["n_examples"], rows["n_positions"] = [9, 10], [0.1, np.nan], 2, 2
    with Recorder(store, record_run(store, NewRun("broken", dataset_key=run.dataset_key))) as recorder:
        recorder.flight("not finite", "the loss became NaN", steps=Steps(rows, np.arange(4, dtype=np.uint32)), step=10)


def _triage(store: Store, dataset: Dataset, run: Run) -> None:
    """A finished triage, decisions of two authors of which one was undone, the version made of them, an opinion."""
    triage = begin_triage(
        store, dataset, fingerprint="f1", versions={"label_error": 1}, sources=[{"kind": "run", "id": run.id}]
    )
    queue = pd.DataFrame(
        {"split": "train", "position": range(4), "risk": [0.1, 0.9, np.nan, 0.4], "suggested": [-1, 1, 0, -1]}
    )
    findings = pd.DataFrame(
        {
            "kind": ["outlier"],
            "split": ["test"],
            "position": [2],
            "risk": [0.8],
            "evidence": [{"nearest": ["train", 1]}],
        }
    )
    groups = pd.DataFrame(
        {
            "kind": ["weak_slice"],
            "name": ["short"],
            "risk": [0.5],
            "evidence": [{"n": 2}],
            "members": [{"train": [0, 2]}],
        }
    )
    columns = {("train", "risk"): np.array([0.1, 0.9, np.nan, 0.4], dtype=np.float32)}
    record_step(store, triage.key, "all", seconds=1.5, columns=columns, findings=findings, groups=groups, queue=queue)
    finish_triage(store, triage.key, {"n": 4})
    change = NewDecision("train", 1, "relabel", label="good", finding="label_error", triage_key=triage.key, seconds=2.0)
    record_decisions(store, dataset, [change, NewDecision("train", 3, "drop")], author="ann")
    record_decision(store, dataset, split="train", position=0, action="keep", author="bob", note="it is")
    record_decision(store, dataset, split="train", position=2, action="edit", text="sun", author="bob")
    undo_last(store, dataset, "bob")
    make_version(store, dataset, author="ann", note="made for the tests")
    log_probs = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan], [0.5, 0.5]]))
    record_opinion(
        store, dataset, kind="crossval", name="folds", fingerprint="f2", log_probs=log_probs, run_keys=[run.key]
    )


def _responses(store: Store) -> None:
    """Pairs of texts with sets of labels, and what a run said of them."""
    pairs = [("sun", "rain", "[0, 1]"), ("wind", "snow", "[]")]
    rows = [
        NewRow("test", f"{one}\n{two}", labels, None, {"text": one, "text_pair": two}) for one, two, labels in pairs
    ]
    source = {"kind": "asset"}
    dataset = record_dataset(store, "pairs", rows, label_names=["bad", "good"], source=source, fingerprint="f3")
    run = record_run(store, NewRun("sets", task="multi-label-classification", dataset_key=dataset.key))
    with Recorder(store, run) as recorder:
        unknown = np.full(2, np.nan)
        recorder.evaluation(
            "test",
            1,
            epoch=1.0,
            n_examples=2,
            scores=[ScoreRow("micro_f1", 0.5, None, None, 2)],
            predictions=Predictions(np.array([-1, -1]), unknown, unknown, unknown, np.array([0.1, 0.2])),
            responses=['{"labels": [1], "p": {"1": 0.9}}', '{"labels": [], "p": {}}'],
        )


def _trial_job(store: Store) -> None:
    """A trial that somebody paused on its way, and what it had said."""
    sweep = get_sweep(store, "search")
    trial = record_trial(store, sweep.key, NewTrial(1, 7, {"training.learning_rate": 0.1}, "h2"))
    job = queue_job(store, "trial", "search-1", {"task": {}}, sweep_key=sweep.key, trial_key=trial.key)
    send_message(store, job.key, '{"kind": "Asked"}', is_from_driver=False)
    pause_job(store, job.key)


if __name__ == "__main__":
    make_asset(Path(__file__).with_name(f"{sys.argv[1]}.db"))
