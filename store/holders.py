"""Holders: the process that has a run, a job or a sweep in hand, and whether it still lives.

The tables leases, jobs, workers and sweeps have the columns `HOLDER_COLUMNS`, in that order.
"""

import platform
import time
from dataclasses import fields
from pathlib import Path

import psutil

from store.oom import oom_kill_count
from store.records import Holder

HOLDER_COLUMNS = ", ".join(field.name for field in fields(Holder))

# A process on another host cannot be looked at; after this long without a heartbeat it is taken for gone.
SILENT_SECONDS = 300.0
_CLOCK_SLACK_SECONDS = 2.0


def this_process() -> Holder:
    """This process, as it takes something in hand now."""
    process = psutil.Process()
    return Holder(
        host=platform.node(),
        boot_id=_boot_id(),
        pid=process.pid,
        process_started_at=process.create_time(),
        heartbeat_at=time.time(),
        oom_kills=oom_kill_count(),
    )


def is_same(one: Holder, other: Holder) -> bool:
    """Whether two records are of one process, whenever they were made."""
    return (one.host, one.pid, one.process_started_at) == (other.host, other.pid, other.process_started_at)


def cause_of_death(holder: Holder) -> str | None:
    """Why the holder is gone, in a sentence; None while it may be alive."""
    age = time.time() - holder.heartbeat_at
    if holder.host != platform.node():
        if age < SILENT_SECONDS:
            return None
        return f"lost: no sign of life from {holder.host} (process {holder.pid}) for {age:.0f} seconds"
    seen = f"its last sign of life was {age:.0f} seconds before it was noticed"
    if holder.boot_id != _boot_id():
        return f"killed: {holder.host} was restarted while process {holder.pid} was at work; {seen}"
    if _is_alive(holder):
        return None
    kills = oom_kill_count()
    if kills is not None and holder.oom_kills is not None and kills > holder.oom_kills:
        return f"out of memory: the kernel killed process {holder.pid} for memory, by its count; {seen}"
    return f"killed: process {holder.pid} ended without a word (kill -9, a crash or a lost container); {seen}"


def _is_alive(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - holder.process_started_at) < _CLOCK_SLACK_SECONDS
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it exists and belongs to someone else


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
