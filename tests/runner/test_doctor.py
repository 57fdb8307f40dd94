"""What the doctor says of machines and stores in every state."""

import os
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import runner.doctor
from runner.cli import cli
from runner.doctor import Finding, examine_machine, examine_store
from store import NewRun, Status, Store, queue_job, record_run
from store.job_leases import register_worker


def level(findings: list[Finding], subject: str) -> str:
    (found,) = [finding.level for finding in findings if finding.subject == subject]
    return found


def disk(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free))


def test_little_disk_is_slow_and_none_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, 50e9)
    assert level(examine_machine(tmp_path), "disk") == "good"
    disk(monkeypatch, 1e9)
    assert level(examine_machine(tmp_path), "disk") == "slow"
    assert level(examine_machine(tmp_path / "nowhere"), "disk") == "broken"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert level(examine_machine(tmp_path), "disk") == "broken"


def test_threads_that_spin_and_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("OMP_NUM_THREADS", "4000")
    texts = [f.text for f in examine_machine(tmp_path) if f.subject == "threads" and f.level == "slow"]
    assert len(texts) == 2
    assert "PASSIVE" in texts[0]
    assert "OMP_NUM_THREADS=4000" in texts[1]


def test_a_busy_machine_with_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (9.0, 0, 0))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9, total=8e9))
    findings = examine_machine(tmp_path)
    assert level(findings, "processor") == "slow"
    assert level(findings, "memory") == "slow"


def test_a_package_that_is_missing_is_broken_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.doctor, "_PACKAGES", ("torch", "not-a-package"))
    (found,) = [f for f in examine_machine(tmp_path) if f.subject == "packages" and f.level == "broken"]
    assert "not-a-package missing: pip install" in found.text


def test_jobs_that_no_worker_will_take_are_said(store: Store) -> None:
    assert not any(finding.subject == "queue" for finding in examine_store(store, thorough=False))
    queue_job(store, "train", "first", {})
    for number in range(2):
        queue_job(store, "trial", f"search-{number}", {}, device="cuda")
    said = [finding.text for finding in examine_store(store, thorough=False) if finding.subject == "queue"]
    assert said == [
        "1 train job waits, and no worker that takes them is at work: `runner worker`",
        "2 trial jobs wait, and no worker that takes them is at work: `runner worker --device cuda`",
    ]
    register_worker(store, "cuda:0")
    assert not any(finding.subject == "queue" for finding in examine_store(store, thorough=False))


def test_waiting_and_lost_rows_are_said(store: Store) -> None:
    from store import NewRun, Recorder, record_run

    assert [f.level for f in examine_store(store, thorough=True)] == ["good"]
    recorder = Recorder(store, record_run(store, NewRun(name="busy")))
    recorder.flush()
    with store.write() as db:
        db.execute("UPDATE leases SET rows_pending = 7, rows_lost = 3")
    texts = {f.level: f.text for f in examine_store(store, thorough=False)[1:]}
    assert "7 rows" in texts["note"]
    assert "3 rows" in texts["broken"]
    recorder.finish()


def test_a_run_whose_process_cannot_write_is_named_wherever_one_looks(store: Store) -> None:
    run = record_run(store, NewRun("r"), status=Status.RUNNING)  # held by this process, which lives
    assert not any("lives, but" in finding.text for finding in examine_store(store, thorough=False))
    with store.write() as db:
        db.execute("UPDATE leases SET heartbeat_at = heartbeat_at - 60")
    (found,) = [finding for finding in examine_store(store, thorough=False) if "lives, but" in finding.text]
    assert (found.level, found.text.split(":")[0]) == ("slow", f"run {run.id}")
    for words in (["ls"], ["show", run.id]):
        shown = CliRunner().invoke(cli, [*words, "--store", str(store.path)], env={"COLUMNS": "300"}).output
        assert f"process {os.getpid()} on " in shown
        assert "lives, but has written nothing for" in shown
