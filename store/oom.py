"""Whether the kernel has been killing processes for want of memory."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


def oom_kill_count(
    cgroups: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
    vmstat: Path = Path("/proc/vmstat"),
) -> int | None:
    """Return how many processes of this process's control group the kernel has killed for want of memory.

    A count that grew while a run ended without a word says why it ended. Reads the `oom_kill` counter of
    `memory.events` (cgroup v2) or `memory.oom_control` (v1), else that of the whole machine
    (`/proc/vmstat`); None where none can be read. Formats: Linux kernel documentation, admin-guide/cgroup-v2 and
    cgroup-v1/memory.
    """
    for path in (*_files(cgroups, membership), vmstat):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return None


def _files(cgroups: Path, membership: Path) -> Iterator[Path]:
    """Where the counter may be; inside a container its own group appears at the mount's root."""
    groups: dict[str, str] = {}
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in membership.read_text(errors="surrogateescape").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, group = rest.partition(":")
            groups.update(dict.fromkeys(controllers.split(","), group.lstrip("/")))
    if "memory" in groups:
        yield cgroups / "memory" / groups["memory"] / "memory.oom_control"
        yield cgroups / "memory" / "memory.oom_control"
    if "" in groups:
        yield cgroups / groups[""] / "memory.events"
    yield cgroups / "memory.events"
