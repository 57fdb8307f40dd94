"""The dashboard on a big store, in a real browser: how long a view takes, from the click to the finished page.

    python -m benchmarks.dashboard_speed --store big.db      (make one with benchmarks.make_store)

A time ends when Streamlit's script has ended, nothing on the page is marked as stale, and the content that the view is
for is there. What each view draws is counted as well: rows of every chart's data, and cells of every table.
"""

import argparse
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Page, TimeoutError, sync_playwright

from benchmarks.make_store import SMALL, make_store, predicted_runs
from benchmarks.measure import Figure, Report, finish, percentile
from store import get_evaluation, list_predictions, open_readonly

CHROMIUM = "/usr/bin/chromium"
MOST_MARKS = 5000
_APP = Path(__file__).parents[1] / "dashboard" / "app.py"
_TIMEOUT_MS = 30_000
_QUIET_MS = 250
"""The script counts as ended when it has not run for so long: a fragment may follow a rerun. Not counted as time."""

_WATCH = """() => {
  const state = { since: performance.now(), busy: true };
  const look = () => {
    const app = document.querySelector('[data-testid="stApp"]');
    const stale = document.querySelector('[data-stale="true"]');
    const busy = !app || app.dataset.testScriptState !== 'notRunning' || !!stale;
    if (busy !== state.busy) { state.busy = busy; state.since = performance.now(); }
    requestAnimationFrame(look);
  };
  window.__assayState = state;
  look();
}"""


class View(NamedTuple):
    """A page and what is done on it. `ready`: what must be on the page; actions: a name and what to do, each timed."""

    name: str
    url: str
    ready: str
    actions: Sequence[tuple[str, Callable[[Page], None]]] = ()


def views(store_path: Path) -> list[View]:
    """Every view of the dashboard on the runs that keep predictions."""
    store = open_readonly(store_path)
    runs = predicted_runs(store)
    a = runs[0]
    b = next((run for run in runs[1:] if run.dataset_key == a.dataset_key), runs[1])
    other = next((run for run in runs if run.dataset_key != a.dataset_key), runs[1])
    evaluation = get_evaluation(store, a.key, "test")
    assert evaluation is not None, "predicted_runs gives runs that were evaluated"
    example = list_predictions(store, evaluation, limit=1)["example_id"].iloc[0]
    store.close()
    table, chart = (
        '[data-testid="stDataFrame"]',
        '[data-testid="stVegaLiteChart"] .marks',
    )
    ten = ",".join(run.id for run in runs[:10])
    return [
        View("Runs", "/", table, [("search", _fill("Search", "lora")), ("search away", _fill("Search", ""))]),
        View("Run: curves", f"/run?run={a.id}", chart, [("smoothing", _press("Smoothing"))]),
        View("Run: classes", f"/run?run={a.id}&tab=Classes", chart, [("test split", _choose("test"))]),
        View(
            "Run: examples",
            f"/run?run={a.id}&tab=Examples",
            table,
            [
                ("test split", _choose("test")),
                ("search", _fill("Search", "money")),
                ("wrong only", _toggle("Wrong only")),
            ],
        ),
        View("Run: recipe", f"/run?run={a.id}&tab=Recipe", '[data-testid="stCode"]'),
        View("Run: provenance", f"/run?run={a.id}&tab=Provenance", '[data-testid="stMarkdown"]'),
        View("Run: log", f"/run?run={a.id}&tab=Log", '[data-testid="stMarkdown"]'),
        View("Run: checkpoints", f"/run?run={a.id}&tab=Checkpoints", table),
        View(
            "Compare: examples",
            f"/compare?runs={a.id},{b.id}",
            table,
            [("fixed", _choose(re.compile("^fixed"))), ("validation", _choose("validation"))],
        ),
        View(
            "Compare: versions of the data",
            f"/compare?runs={a.id},{other.id}",
            table,
            [("fixed", _choose(re.compile("^fixed")))],
        ),
        View("Compare: curves of ten runs", f"/compare?runs={ten}&section=Curves", chart),
        View("Compare: configuration", f"/compare?runs={a.id},{b.id}&section=Configuration", table),
        View(
            "Example", f"/run?run={a.id}&tab=Examples&example={example}", '[role="dialog"] [data-testid="stDataFrame"]'
        ),
    ]


def measure(store_path: Path, repetitions: int, *, is_small: bool = False) -> Report:
    """Open and work every view `repetitions` times, each time in a fresh browser session of one warm server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        server(store_path, Path(folder) / "server.log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        first: dict[str, float] = {}
        warm: dict[str, list[float]] = {}
        marks: dict[str, int] = {}
        _open(
            browser.new_page(), address + "/", '[data-testid="stApp"]'
        )  # the browser's own first page is not ours to time
        for turn in range(repetitions + 1):
            for view in views(store_path):
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                sent = _count_sent(page)
                opened = _open(page, address + view.url, view.ready)
                if turn == 0:
                    first[view.name] = opened
                else:
                    warm.setdefault(view.name, []).append(opened)
                for name, act in view.actions:
                    took = _act(page, act, view.ready)
                    if turn:
                        warm.setdefault(f"{view.name}, {name}", []).append(took)
                    else:
                        first[f"{view.name}, {name}"] = took
                marks[view.name] = max(marks.get(view.name, 0), _drawn(page), sent())
                page.close()
        browser.close()
    return _report(store_path, first, warm, marks, is_small=is_small)


def _report(
    store_path: Path, first: dict[str, float], warm: dict[str, list[float]], marks: dict[str, int], *, is_small: bool
) -> Report:
    reruns = {name: times for name, times in warm.items() if "," in name}
    figures = [
        Figure("slowest p95 of any rerun", [max(percentile(t, 0.95) for t in reruns.values())], "s", at_most=1.0),
        Figure("most rows of any one chart or table", [max(marks.values())], "", at_most=MOST_MARKS),
    ]
    for name, times in warm.items():
        goal = 1.0 if name in reruns else None
        kind = "p95 of" if name in reruns else "p95 of opening"
        note = f"median {sorted(times)[len(times) // 2]:.2f} s, nothing cached {first[name]:.2f} s"
        note += f", {marks[name]:,} rows in its largest chart or table" if name in marks else ""
        figures.append(Figure(f"{kind} {name}", [percentile(times, 0.95)], "s", at_most=goal, note=note))
    size = f"{store_path.stat().st_size / 1e6:,.0f} MB, {len(next(iter(warm.values())))} repetitions"
    return Report("Dashboard", size, figures, is_small=is_small)


# what a person does -------------------------------------------------------------------------------------------------


def _fill(label: str, text: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        box = page.get_by_label(label, exact=True).first
        box.fill(text)
        box.press("Enter")

    return act


def _choose(text: str | re.Pattern[str]) -> Callable[[Page], None]:
    return lambda page: page.get_by_test_id("stButtonGroup").get_by_text(text).first.click()


def _toggle(label: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_text(label, exact=True).first.click()


def _press(label: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("slider", name=label).first.press("ArrowRight")


# timing -------------------------------------------------------------------------------------------------------------


def _open(page: Page, url: str, ready: str) -> float:
    """Seconds until a page that is opened by its address is finished."""
    began = time.perf_counter()
    page.goto(url)
    page.evaluate(_WATCH)
    return _finished(page, began, ready)


def _act(page: Page, act: Callable[[Page], None], ready: str) -> float:
    """Seconds from an interaction to the finished rerun."""
    page.evaluate("() => { window.__assayState.busy = null; }")  # the next look sets the time of the change
    began = time.perf_counter()
    act(page)
    page.wait_for_timeout(50)  # the click has to reach the server before "not running" means anything
    return _finished(page, began, ready)


def _finished(page: Page, began: float, ready: str) -> float:
    """Seconds since `began` until the script ended for good. Raises RuntimeError with what the page says instead."""
    try:
        page.wait_for_selector(ready, state="attached", timeout=_TIMEOUT_MS)
    except TimeoutError as error:
        said = page.locator("body").inner_text()[:1000]
        raise RuntimeError(f"{page.url} never showed {ready}; it says:\n{said}") from error
    page.wait_for_function(
        f"() => window.__assayState.busy === false && performance.now() - window.__assayState.since > {_QUIET_MS}",
        timeout=_TIMEOUT_MS,
    )
    quiet: float = page.evaluate("() => performance.now() - window.__assayState.since")
    return time.perf_counter() - began - quiet / 1000


# what is sent -------------------------------------------------------------------------------------------------------


def _drawn(page: Page) -> int:
    """Rows of the tables and marks of the charts on the page, as the browser has them."""
    rows: int = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid="stDataFrame"] table[role="grid"]')]
          .reduce((sum, grid) => sum + Number(grid.getAttribute('aria-rowcount') || 0), 0)"""
    )
    marks: int = page.evaluate(
        """() => document.querySelectorAll('[data-testid="stVegaLiteChart"] svg g.mark-symbol path,'
          + ' [data-testid="stVegaLiteChart"] svg g.mark-rect path').length"""
    )
    return rows + marks


def _count_sent(page: Page) -> Callable[[], int]:
    """Rows of every Arrow table that the server sends: what charts and tables are drawn from."""
    from pyarrow import ipc

    found: list[int] = []

    def received(payload: Any) -> None:
        if not isinstance(payload, bytes):
            return
        # A Streamlit message holds Arrow streams; each begins with a continuation mark and a schema message.
        at = payload.find(b"\xff\xff\xff\xff")
        while at >= 0:
            try:
                with ipc.open_stream(payload[at:]) as stream:
                    found.append(sum(batch.num_rows for batch in stream))
            except (ValueError, OSError):
                pass
            at = payload.find(b"\xff\xff\xff\xff", at + 4)

    page.on("websocket", lambda socket: socket.on("framereceived", received))
    return lambda: max(found, default=0)


# the server ---------------------------------------------------------------------------------------------------------


@contextmanager
def server(store_path: Path, log: Path) -> Iterator[str]:
    """`streamlit run dashboard/app.py` on a free port; gives its address."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(_APP)]
    command += ["--server.headless=true", f"--server.port={port}", "--browser.gatherUsageStats=false"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=_APP.parents[1],
            env={**os.environ, "ASSAY_STORE": str(store_path.absolute())},
        )
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(f"{address}/_stcore/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the dashboard did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # it waits for its browsers to go
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", type=Path, help="made by benchmarks.make_store; without it a small one is made")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--small", action="store_true", help="a tiny store and one repetition: to see that it works")
    options = parser.parse_args()
    if options.store is None and not options.small:
        parser.error("name a --store (python -m benchmarks.make_store big.db makes one), or say --small")
    with tempfile.TemporaryDirectory() as folder:
        store_path = options.store or make_store(Path(folder) / "small.db", SMALL)
        finish(measure(store_path, 1 if options.small else options.repetitions, is_small=options.small))


if __name__ == "__main__":
    main()
