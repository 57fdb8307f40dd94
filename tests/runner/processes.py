"""`runner` in a process of its own that can be interrupted or shot exactly where a test wants it."""

import os
import subprocess
import sys
import time
from pathlib import Path

_BEGIN = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may have inherited "ignore"

def here(name):
    print(name, flush=True)

def stop_in(owner, name, mark, *, when=lambda self: True, seconds=60):
    original = getattr(owner, name)
    def stopping(self, *args, **settings):
        if when(self):
            here(mark)
            time.sleep(seconds)
        return original(self, *args, **settings)
    setattr(owner, name, stopping)

def die_in(owner, name, *, when):
    original = getattr(owner, name)
    def dying(self, *args, **settings):
        if when(self):
            self._recorder.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *args, **settings)
    setattr(owner, name, dying)
"""

_END = """
from runner.cli import main
main(sys.argv[1:])
"""


class Process:
    """`python -c PATCHES; runner ARGUMENTS`; `PATCHES` may use `here`, `stop_in` and `die_in`."""

    def __init__(self, patches: str, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN + patches + _END, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def wait_for(self, mark: str) -> None:
        """Read standard output up to a line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == mark:
                return
        raise AssertionError(f"{mark!r} did not come: {self.process.communicate()}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        time.sleep(0.3)  # two at once would be one

    def end(self) -> tuple[int, str]:
        """Exit code and standard error, once it has ended."""
        _, stderr = self.process.communicate(timeout=240)
        return self.process.returncode, stderr
