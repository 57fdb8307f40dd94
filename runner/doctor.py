"""What is broken on this machine or in this store, and what will be slow and why."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from store import SpoolReport, Status, Store, check_store, get_lease, run_ids, spool_status
from store.holders import cause_of_death
from store.job_leases import count_queued
from store.leases import QUIET_SECONDS, what_waits
from store.plain import numbered
from store.trial_jobs import workers_for

if TYPE_CHECKING:
    from runner.leftovers import Leftover

Level = Literal["good", "note", "slow", "broken"]

DAMAGE = "damage"
"""The subject of findings that mean that the store must not be written to before it is repaired."""

_LOW_DISK_BYTES = 5e9
_SHOWN = 10  # checkpoints that are named, and files of one
_PACKAGES = ("torch", "transformers", "peft", "datasets", "bitsandbytes", "sqlite-utils", "streamlit")


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `slow` works but takes longer than it must; `broken` does not work."""

    subject: str
    level: Level
    text: str


def examine_machine(folder: Path) -> list[Finding]:
    """Python, packages, devices, threads, memory and disk, for a store in `folder`."""
    return [*_python(), *_packages(), *_devices(), *_threads(), *_memory(), *_disk(folder)]


def examine_store(store: Store, *, thorough: bool) -> list[Finding]:
    """Integrity, size, waiting and lost rows."""
    health = check_store(store, thorough=thorough)
    text = (
        f"{store.path}: {health.size_bytes / 1e6:,.1f} MB, {numbered(health.n_runs, 'run')} ({health.n_live} live), "
        f"{numbered(health.n_examples, 'example')}, {numbered(health.n_metric_values, 'metric value')}"
    )
    findings = [Finding("store", "good" if not health.problems else "broken", text)]
    findings += [Finding(DAMAGE, "broken", problem) for problem in health.problems]
    if health.problems:
        advice = f"`runner doctor --repair --store {store.path}` saves every row that can be read into a new store"
        findings.append(Finding(DAMAGE, "note", advice))
    if health.rows_pending:
        findings.append(
            Finding("store", "note", f"{numbered(health.rows_pending, 'row')} of live runs still to be written")
        )
    if health.rows_lost:
        findings.append(
            Finding("store", "broken", f"{numbered(health.rows_lost, 'row')} of live runs lost; see their events")
        )
    findings += [_spool(report) for report in spool_status(store).files]
    findings += _queue(store)
    findings += [Finding("store", "slow", f"run {run_id}: {text}") for run_id, text in _quiet(store)]
    if health.wal_bytes > 1e9:
        findings.append(
            Finding(
                "store",
                "slow",
                f"the write-ahead log has grown to {health.wal_bytes / 1e9:.1f} GB: some program "
                "holds the store open in one long read; close it",
            )
        )
    return findings


def _queue(store: Store) -> Iterator[Finding]:
    """Jobs that wait for a worker that is not there."""
    for (kind, device), n in count_queued(store).items():
        if workers_for(store, device):
            continue
        jobs = f"{numbered(n, f'{kind} job')} {'waits' if n == 1 else 'wait'}"
        option = f" --device {device}" if device else ""
        yield Finding("queue", "note", f"{jobs}, and no worker that takes them is at work: `runner worker{option}`")


def _quiet(store: Store) -> Iterator[tuple[str, str]]:
    """Runs whose process lives and cannot write, with what there is to say of it."""
    for run_id, (key, status) in run_ids(store).items():
        lease = get_lease(store, key) if status == Status.RUNNING else None
        if lease is None or cause_of_death(lease) is not None or time.time() - lease.heartbeat_at <= QUIET_SECONDS:
            continue
        yield run_id, what_waits(lease, time.time()) or ""


def examine_leftovers(store: Store) -> list[Finding]:
    """What killed processes left behind, a finding a kind; each says what `--repair` does about it."""
    from runner.leftovers import find_leftovers

    kinds: dict[str, list[Leftover]] = {}
    for leftover in find_leftovers(store):
        kinds.setdefault(leftover.kind, []).append(leftover)
    findings = []
    for kind, leftovers in kinds.items():
        n_bytes = sum(leftover.n_bytes for leftover in leftovers)
        taking = f", {n_bytes / 1e6:,.1f} MB" if n_bytes else ""
        names = "; ".join(leftover.name for leftover in leftovers[:3]) + (" …" if len(leftovers) > 3 else "")
        text = f"{len(leftovers)} × {leftovers[0].what}{taking}: {names}. --repair {leftovers[0].remedy}"
        findings.append(Finding("leftovers", "broken" if kind in ("damaged", "unmounted") else "note", text))
    return findings


def examine_checkpoints(store: Store, *, thorough: bool) -> list[Finding]:
    """Whether the checkpoints are what was written: by their sizes, and by their hashes where `thorough`."""
    from runner.checkpoint_health import check_checkpoints

    health = check_checkpoints(store, thorough=thorough)
    if not health.n_checkpoints:
        return []
    findings = [
        Finding(
            "checkpoints",
            "broken",
            f"{run.name} ({run.id}), step {checkpoint.step:,}: {'; '.join(texts[:_SHOWN])}. Put it back from a backup; "
            "a resume passes it over, or begins anew with --from-start",
        )
        for run, checkpoint, texts in health.wrong[:_SHOWN]
    ]
    if len(health.wrong) > _SHOWN:
        findings.append(Finding("checkpoints", "broken", f"and {len(health.wrong) - _SHOWN:,} more"))
    how = (
        f"{health.bytes_read / 1e6:,.1f} MB read and compared with their hashes"
        if thorough
        else "sizes compared; without --quick their files are read and compared with their hashes"
    )
    n_wrong = f", {len(health.wrong):,} not what was written" if health.wrong else ""
    return [
        Finding("checkpoints", "note" if health.wrong else "good", f"{health.n_checkpoints:,}{n_wrong}; {how}"),
        *findings,
    ]


def _spool(report: SpoolReport) -> Finding:
    n_rows = (
        numbered(report.rows_pending, "row") if report.rows_pending else "rows"
    )  # unreadable: nobody knows how many
    waiting = f"{n_rows} of run {report.run_id} wait in {report.path}"
    if report.problem:
        return Finding("spool", "broken", f"{waiting}: {report.problem}; delete the file if they are not needed")
    whose = "the process that records it" if report.is_live else "the next start of Assay"
    return Finding("spool", "note", f"{waiting}: {whose} writes them as soon as the store can be written")


def _python() -> list[Finding]:
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return [Finding("python", "good", text)]


def _packages() -> list[Finding]:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    findings = [Finding("packages", "good", ", ".join(found))]
    if missing:
        findings.append(
            Finding("packages", "broken", f"{', '.join(missing)} missing: pip install -e . -c constraints.txt")
        )
    return findings


def _devices() -> list[Finding]:
    import torch

    if torch.cuda.is_available():
        names = []
        for i in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(i)
            names.append(f"{torch.cuda.get_device_name(i)}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free")
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "fp16 (no bf16)"
        return [Finding("device", "good", f"{'; '.join(names)}; half precision: {bf16}")]
    if torch.backends.mps.is_available():
        return [Finding("device", "good", "Apple GPU (mps), float32")]
    return [
        Finding(
            "device",
            "slow",
            'no GPU: small encoders train in minutes here; prefer model.method = "head" or "lora", '
            "and leave training.precision alone (half precision is slower than none on a CPU)",
        )
    ]


def _threads() -> list[Finding]:
    findings = []
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 1.5 * cores:
        findings.append(
            Finding("processor", "slow", f"load {load:.1f} on {cores} cores: other programs take their share")
        )
    else:
        findings.append(Finding("processor", "good", f"{cores} cores, load {load:.1f}"))
    if os.environ.get("OMP_WAIT_POLICY", "").upper() == "ACTIVE":
        findings.append(
            Finding(
                "threads",
                "slow",
                "OMP_WAIT_POLICY=ACTIVE: waiting threads spin, 5 to 8 times slower on a shared "
                "machine; set it to PASSIVE",
            )
        )
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads and threads.isdigit() and int(threads) > cores:
        findings.append(Finding("threads", "slow", f"OMP_NUM_THREADS={threads} on {cores} cores"))
    return findings


def _memory() -> list[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    level: Level = "slow" if memory.available < 2e9 else "good"
    text = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"
    return [Finding("memory", level, text + ("; little for a model and its optimizer" if level == "slow" else ""))]


def _disk(folder: Path) -> list[Finding]:
    if not folder.is_dir():
        return [Finding("disk", "broken", f"there is no folder {folder} for the store")]
    if not os.access(folder, os.W_OK):
        return [Finding("disk", "broken", f"{folder} is not writable")]
    free = shutil.disk_usage(folder).free
    if free < _LOW_DISK_BYTES:
        return [
            Finding("disk", "slow", f"{free / 1e9:.1f} GB free in {folder}: checkpoints may not fit; see `runner rm`")
        ]
    return [Finding("disk", "good", f"{free / 1e9:,.0f} GB free in {folder}")]
