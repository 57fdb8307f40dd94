"""Opening a browser window on a page once its server answers: `python -m runner.opening http://localhost:8501`.

A process of its own, beside the server. Streamlit would open one too, but only in a mode in which it also asks for an
address before it starts and lays an advertisement over the pages.
"""

import os
import sys
import time
import urllib.request
import webbrowser

PATIENCE_SECONDS = 60.0


def has_screen() -> bool:
    """Whether there is a screen that a window can be on."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_when_ready(address: str, patience: float = PATIENCE_SECONDS) -> bool:
    """Wait until the server is well, then open a window on it; whether there was one to open."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return webbrowser.open(address)
        except OSError:
            time.sleep(0.2)
    return False


if __name__ == "__main__":
    open_when_ready(sys.argv[1])
