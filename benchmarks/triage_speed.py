"""The Triage page on 100,000 examples, in a real browser: from a key press to the next example on the screen.

    python -m benchmarks.triage_speed           (makes a store of its own; --store FILE takes one that has a triage)

The clock is the browser's: it begins with the key's event and ends at the frame after the text, the labels and the
place in the queue are the next example's. Keys are pressed as a person would, one when the page has come to rest after
the last; and once as fast as each next example appears. By processor time: what the server and the browser with all
their processes used meanwhile, one after the other; on an idle machine some of it overlaps.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.dashboard_speed import CHROMIUM, server
from benchmarks.measure import Figure, Report, finish, percentile
from store import open_store
from tests.store.triages import fill_triage

MOST_SECONDS = 0.3
_PATIENCE_MS = 60_000
_SHOWN = ".st-key-triage-text"
_WATCH = """() => {
  const read = () => ['.st-key-triage-where', '.st-key-triage-text', '.st-key-triage-labels']
    .map(name => document.querySelector(name)?.textContent ?? '');
  const state = { pressed: null, before: read(), took: null };
  window.addEventListener('keydown', () => {
    state.pressed = performance.now(); state.before = read(); state.took = null;
  }, true);
  new MutationObserver(() => {
    if (state.pressed === null) return;
    const now = read();
    if (now[0] === state.before[0] || now[1] === state.before[1] || !now[2]) return;
    const pressed = state.pressed;
    state.pressed = null;
    requestAnimationFrame(() => { state.took = performance.now() - pressed; });
  }).observe(document.body, { subtree: true, childList: true, characterData: true });
  window.__assayKeys = state;
}"""
_RESTS = """() => document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState === 'notRunning'"""


class Press(NamedTuple):
    """Seconds from a key to the next example, by the clock and of processor time of all processes at work on it."""

    wall: float
    cpu: float


def press(page: Page, key: str, *, rest: bool) -> Press:
    """Press it; with `rest` waits before until the page has come to rest."""
    if rest:
        page.wait_for_function(_RESTS, timeout=_PATIENCE_MS)
        page.wait_for_timeout(150)
    page.evaluate("() => { window.__assayKeys.took = null; }")
    before = _cpu_seconds()
    page.keyboard.press(key)
    page.wait_for_function("() => window.__assayKeys.took !== null", timeout=_PATIENCE_MS, polling=25)
    return Press(float(page.evaluate("() => window.__assayKeys.took")) / 1000, _cpu_seconds() - before)


def _cpu_seconds() -> float:
    """Processor time so far of server and browser: of all that this process has started but Playwright's own."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.name() != "node":
                times = process.cpu_times()
                total += times.user + times.system
    return total


def opened(browser: Browser, address: str, query: str = "") -> Page:
    """The page of a person whose name is known."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies([{"name": "assay_author", "value": "bench", "url": address}])
    page = context.new_page()
    page.goto(f"{address}/triage{query}")
    page.wait_for_selector(_SHOWN, timeout=_PATIENCE_MS)
    page.wait_for_selector(".st-key-triage-keys", timeout=_PATIENCE_MS)
    page.evaluate(_WATCH)
    return page


def measure(store_path: Path, presses: int, *, n: int, is_small: bool) -> Report:
    """Decide with every key, undo, and go fast."""
    keys: Sequence[tuple[str, str]] = (("accept", "a"), ("keep", "k"), ("drop", "d"), ("skip", "s"), ("undo", "z"))
    times: dict[str, list[Press]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        server(store_path, Path(folder) / "server.log") as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        began = time.perf_counter()
        page = opened(browser, address)
        first = time.perf_counter() - began
        for _ in range(3):
            press(page, "k", rest=True)  # what is loaded once is not a decision's
        for name, key in keys:
            times[name] = [press(page, key, rest=True) for _ in range(presses)]
        times["accept, as fast as they come"] = [press(page, "a", rest=False) for _ in range(presses)]
        began = time.perf_counter()
        page = opened(browser, address, "?words=card")
        filtered = time.perf_counter() - began
        times["accept, under a filter"] = [press(page, "a", rest=True) for _ in range(presses)]
        browser.close()
    figures = [_figure("all keys", [each for found in times.values() for each in found])]
    figures += [_figure(name, found) for name, found in times.items()]
    figures.append(Figure("opening the page, nothing cached", [first], "s"))
    figures.append(Figure("opening it under a filter", [filtered], "s"))
    return Report("Triage page", f"{n:,} training examples", figures, is_small=is_small)


def _figure(name: str, found: Sequence[Press]) -> Figure:
    wall, cpu = [each.wall for each in found], [each.cpu for each in found]
    note = f"median {median(wall):.3f} s ({median(cpu):.3f} s of processor time), slowest {max(wall):.3f} s"
    return Figure(
        f"p95 of {name}", [percentile(wall, 0.95)], "s", at_most=MOST_SECONDS, cpu_samples=[percentile(cpu, 0.95)],
        note=f"{note}, {len(found)} presses",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", type=Path, help="with a triage; without it one is made")
    parser.add_argument("--n", type=int, default=100_000, help="training examples of the store that is made")
    parser.add_argument("--presses", type=int, default=40, help="of each key")
    parser.add_argument("--small", action="store_true", help="300 examples and 3 presses: to see that it works")
    options = parser.parse_args()
    n, presses = (300, 3) if options.small else (options.n, options.presses)
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or Path(folder) / "triage.db"
        if options.store is None:
            store = open_store(path)
            fill_triage(store, n)
            store.close()
        finish(measure(path, presses, n=n, is_small=options.small))


if __name__ == "__main__":
    main()
