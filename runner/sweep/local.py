"""Trials on this machine: one long-lived worker process a slot, pinned to its device, in a session of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from runner.sweep.engine import Answer, Ended, Event, Lost, Stop, Task, pack, unpack
from runner.sweep.failures import ON_DEVICE, OUT_OF_MEMORY, reason_of

_POLL_SECONDS = 1.0
_LAST_WORDS = 400
_GOODBYE_SECONDS = 60.0


@dataclass
class _Slot:
    """A place for a worker; the worker itself is started with its first task, and again after it died."""

    place: int
    device: str | None
    process: subprocess.Popen[bytes] | None = None
    connection: Connection | None = None
    task: Task | None = None
    n_tasks: int = 0
    """That the process was given."""
    log: Path | None = None

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass
class LocalEngine:
    """An engine of worker processes.

    Args:
        store: the store's file.
        devices: a slot each, by the CUDA device that its worker may see; None leaves what this process sees.
        threads: CPU threads of each worker; None leaves that to the environment.
        logs: folder for what the workers print.
    """

    store: Path
    devices: Sequence[str | None]
    threads: int | None
    logs: Path
    _slots: list[_Slot] = field(default_factory=list)
    _events: deque[Event] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._slots = [_Slot(place, device) for place, device in enumerate(self.devices)]

    @property
    def n_slots(self) -> int:
        return len(self._slots)

    @property
    def pids(self) -> list[int]:
        """The living workers."""
        return [slot.process.pid for slot in self._slots if slot.process is not None and slot.is_alive]

    def start(self, task: Task) -> str:
        slot = next((slot for slot in self._slots if slot.task is None), None)
        if slot is None:
            raise RuntimeError(f"all {self.n_slots} slots are taken")
        if not slot.is_alive:
            self._spawn(slot)
        slot.task = task
        slot.n_tasks += 1
        self._send(slot, task)
        return slot.device or "this machine"

    def next_event(self, timeout_seconds: float) -> Event | None:
        deadline = time.monotonic() + timeout_seconds
        while not self._events:
            self._bury()
            left = deadline - time.monotonic()
            connections = [slot.connection for slot in self._slots if slot.connection is not None]
            if self._events or left <= 0:
                break
            if not connections:
                time.sleep(min(left, _POLL_SECONDS))
                continue
            # Death is heard as the end of a connection; looking now and then finds a worker whose child holds it open.
            for ready in wait(connections, min(left, _POLL_SECONDS)):
                self._receive(next(slot for slot in self._slots if slot.connection is ready))
        return self._events.popleft() if self._events else None

    def answer(self, answer: Answer) -> None:
        for slot in self._slots:
            if slot.task is not None and slot.task.trial == answer.trial:
                self._send(slot, answer)

    def stop(self, reason: str) -> None:
        for slot in self._slots:
            if slot.task is not None:
                self._send(slot, Stop(reason))

    def close(self, *, at_once: bool = False) -> None:
        for slot in self._slots:  # all hear of it before the first is waited for
            if slot.connection is not None and not at_once:
                slot.connection.close()
                slot.connection = None
        for slot in self._slots:
            self._drop(slot, kills=at_once)
            slot.task = None
        self._events.clear()

    # workers -------------------------------------------------------------------------------------------------------

    def _spawn(self, slot: _Slot) -> None:
        self._drop(slot, kills=True)
        ours, theirs = socket.socketpair()
        self.logs.mkdir(parents=True, exist_ok=True)
        slot.log = self.logs / f"worker-{slot.place}.log"
        with slot.log.open("ab") as log, theirs:
            slot.process = subprocess.Popen(
                # -P: a folder that is called like one of our packages must not stand in for it.
                [sys.executable, "-P", "-m", "runner.sweep.worker", str(theirs.fileno()), str(self.store)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(os.environ, slot.device, self.threads),
                start_new_session=True,  # Ctrl-C in the terminal is ours to hear, and not the workers'
            )
        slot.connection = Connection(ours.detach())
        slot.n_tasks = 0

    def _send(self, slot: _Slot, message: Task | Answer | Stop) -> None:
        with contextlib.suppress(OSError):  # a worker that is gone is found by `next_event`
            if slot.connection is not None:
                slot.connection.send_bytes(pack(message))

    def _receive(self, slot: _Slot) -> None:
        assert slot.connection is not None
        try:
            event = unpack(slot.connection.recv_bytes())
        except (EOFError, OSError):
            self._lose(slot)
            return
        is_too_large = isinstance(event, Ended) and event.status == "failed" and reason_of(event.cause) == OUT_OF_MEMORY
        if isinstance(event, Ended):
            slot.task = None
            if is_too_large:
                on_device = ON_DEVICE in (event.cause or "")
                event = replace(event, was_alone=self._is_alone(slot, of_host=not on_device))
        self._events.append(event)
        if is_too_large:
            self._drop(slot, kills=True)  # what is left of it on the device goes with it

    def _is_alone(self, slot: _Slot, *, of_host: bool) -> bool:
        """Whether a slot's process was given one task only, and no other has a part of its device's memory, or of the
        host's."""
        others = (other for other in self._slots if other is not slot and (of_host or other.device == slot.device))
        return slot.n_tasks == 1 and not any(other.is_alive for other in others)

    def _bury(self) -> None:
        """Notice workers that died without their connection ending."""
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None and slot.connection is not None:
                while slot.connection is not None and slot.connection.poll():  # its last words first
                    self._receive(slot)
                if slot.connection is not None:
                    self._lose(slot)

    def _lose(self, slot: _Slot) -> None:
        task, slot.task = slot.task, None
        process, was_alone = slot.process, self._is_alone(slot, of_host=True)
        self._drop(slot, kills=True)
        if task is not None:
            self._events.append(Lost(task.trial, _cause(process, slot.log), was_alone))

    def _drop(self, slot: _Slot, *, kills: bool) -> None:
        """Let go of a worker: when its connection ends, it interrupts what it does and ends by itself."""
        if slot.connection is not None:
            slot.connection.close()
            slot.connection = None
        if slot.process is None:
            return
        if kills:
            with contextlib.suppress(ProcessLookupError):
                slot.process.kill()
        try:
            slot.process.wait(timeout=_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            slot.process.kill()
            slot.process.wait()


def worker_environment(given: Mapping[str, str], device: str | None, threads: int | None) -> dict[str, str]:
    """The environment of a worker: its device, its share of the cores, threads that sleep while they wait."""
    changed = {**given, "OMP_WAIT_POLICY": given.get("OMP_WAIT_POLICY", "PASSIVE"), "TOKENIZERS_PARALLELISM": "true"}
    if device is not None:
        changed["CUDA_VISIBLE_DEVICES"] = device
    if threads is not None:
        changed.setdefault("OMP_NUM_THREADS", str(threads))
    return changed


def _cause(process: subprocess.Popen[bytes] | None, log: Path | None) -> str:
    code = process.returncode if process is not None else None
    if code is not None and code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    else:
        how = f"ended with exit code {code}"
    words = ""
    if log is not None and log.exists():
        lines = log.read_bytes()[-4000:].decode(errors="replace").strip().splitlines()
        words = lines[-1].strip()[:_LAST_WORDS] if lines else ""
    return f"the worker process {how}" + (f"; its last words: {words}" if words and code not in (0, -9) else "")
