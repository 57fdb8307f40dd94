"""The dashboard in a real browser, against a real server: what only the two together can break."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from store import Run
from tests.dashboard.conftest import copied
from tests.dashboard.stores import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000  # milliseconds: nothing here is about speed, and the machine may be busy
ROW_PIXELS = 31  # of a table at the theme's font size
Page = playwright.Page


@contextmanager
def serving(store_path: Path) -> Iterator[str]:
    """A server of a store; its address. It reads `--store`, whatever the environment says."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/app.py", "--server.port", str(port)]
    process = subprocess.Popen(
        [*command, "--", "--store", str(store_path)], cwd=ROOT, env={**os.environ, "ASSAY_STORE": "/nowhere.db"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://localhost:{port}"
    try:
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def server(built_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server of a copy of the believable store, for all tests that only read."""
    with serving(copied(built_store, tmp_path_factory.mktemp("served") / "demo.db")) as address:
        yield address


def _wait_for(address: str, seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline, "the dashboard did not start"
            time.sleep(0.2)


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "playwright.Browser") -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def settled(page: Page) -> None:
    """Wait until the script has run and for half a second has not begun again."""
    page.evaluate("window.restingSince = performance.now()")
    page.wait_for_function(
        "() => {"
        "  const app = document.querySelector('[data-testid=stApp]');"
        "  const rests = app?.getAttribute('data-test-script-state') === 'notRunning';"
        "  if (!rests) window.restingSince = performance.now();"
        "  return performance.now() - window.restingSince > 500;"
        "}"
    )


def click_cell(page: Page, table: int, row: int, x: int) -> None:
    """Click a row of a table (they are drawn on a canvas) at x pixels from its left."""
    canvas = page.locator('[data-testid="stDataFrame"]').nth(table)
    canvas.scroll_into_view_if_needed()
    canvas.click(position={"x": x, "y": ROW_PIXELS * (row + 1) + ROW_PIXELS // 2})
    settled(page)


def until_seen(page: Page, act: Callable[[], None], text: "str | re.Pattern[str]") -> None:
    """Do something, again if need be, until a text is there: a click on a canvas in layout is lost."""
    for _ in range(8):
        act()
        with suppress(playwright.TimeoutError):
            page.get_by_text(text).first.wait_for(timeout=PATIENCE / 8)
            return
    raise AssertionError(f"{text} never appeared")


def said(page: Page) -> str:
    return str(page.inner_text('[data-testid="stMain"]'))


def test_from_runs_to_an_example_and_back_by_its_link(server: str, page: Page, runs: dict[str, Run]) -> None:
    page.goto(server)
    page.get_by_text("8 of 8 runs").wait_for()
    settled(page)
    click_cell(page, 0, 7, 15)  # the oldest: tweet-head
    click_cell(page, 0, 6, 15)  # tweet-lora-r16, its first seed
    page.get_by_role("button", name="Compare 2").click()
    page.get_by_text(re.compile(r"tweet-lora-r16 beats tweet-head by \+\d")).first.wait_for()
    settled(page)
    assert f"runs={runs['head'].id}%2C{runs['lora'].id}" in page.url
    page.get_by_text(re.compile(r"^fixed \d+")).click()
    settled(page)
    assert "kind=fixed" in page.url
    page.get_by_placeholder("words in the text").fill("train")
    page.keyboard.press("Enter")
    settled(page)
    assert "words=train" in page.url
    click_cell(page, 1, 0, 200)
    drawer = page.get_by_role("dialog")
    drawer.wait_for()
    text = drawer.locator("code").first.inner_text()
    assert "train" in text
    assert "example=" in page.url

    link = page.url
    fresh = page.context.browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    fresh.set_default_timeout(PATIENCE)
    fresh.goto(link)
    fresh.get_by_role("dialog").wait_for()
    settled(fresh)
    assert fresh.get_by_role("dialog").locator("code").first.inner_text() == text
    fresh.keyboard.press("Escape")
    settled(fresh)
    assert "example=" not in fresh.url
    assert fresh.get_by_placeholder("words in the text").input_value() == "train"
    assert "tweet-head wrong, tweet-lora-r16 right" in said(fresh)
    fresh.context.close()


def test_a_name_opens_its_run_and_a_failed_one_says_why(server: str, page: Page, runs: dict[str, Run]) -> None:
    page.goto(server)
    page.get_by_text("8 of 8 runs").wait_for()
    settled(page)
    until_seen(page, lambda: click_cell(page, 0, 4, 200), "loss became NaN at step 84")  # the run's name
    assert f"run={runs['tweet-full-lr1e-2'].id}" in page.url


def test_a_cell_of_the_confusion_matrix_opens_its_examples(server: str, page: Page, runs: dict[str, Run]) -> None:
    page.goto(f"{server}/run?run={runs['head'].id}&tab=Classes&split=test")
    page.get_by_text("Examples it got wrong").wait_for()
    page.locator('[data-testid="stVegaLiteChart"] :is(svg, canvas)').first.wait_for()
    settled(page)
    chart = page.locator('[data-testid="stVegaLiteChart"]').first.bounding_box()
    assert chart
    page.mouse.click(chart["x"] + chart["width"] * 0.85, chart["y"] + chart["height"] * 0.3)  # first row, last column
    page.get_by_text("Examples given negative, predicted positive").wait_for()


def test_hostile_text_runs_nothing(server: str, page: Page, runs: dict[str, Run]) -> None:
    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.goto(f"{server}/run?run={runs['<b>bold</b> **run** $x$'].id}&tab=Examples&split=test")
    page.get_by_placeholder("words in the text").wait_for()
    settled(page)
    assert page.locator("h3").first.inner_text() == "<b>bold</b> **run** $x$"
    from store import example_id

    page.goto(f"{server}/run?run={runs['head'].id}&example={example_id({'text': HOSTILE[0]}).hex()}")
    page.get_by_role("dialog").wait_for()
    settled(page)
    assert page.get_by_role("dialog").locator("code").first.inner_text() == HOSTILE[0]
    assert not alerts


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_light_and_dark(server: str, browser: "playwright.Browser", scheme: str, is_dark: bool) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(server)
    page.get_by_text("8 of 8 runs").wait_for(timeout=PATIENCE)
    colour = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", colour)[:3])
    assert (red + green + blue < 150) == is_dark
    context.close()


def test_live_runs_page_stays_still_and_up_to_date(page: Page, store_path: Path) -> None:
    with serving(store_path) as address:
        _watch_a_run_arrive(address, page, store_path)


def _watch_a_run_arrive(server: str, page: Page, store_path: Path) -> None:
    from store import NewRun, Status, open_store, record_run

    page.goto(server)
    page.get_by_text("8 of 8 runs").wait_for()
    settled(page)
    click_cell(page, 0, 7, 15)
    top = page.locator('[data-testid="stDataFrame"]').first.bounding_box()
    with_one = page.get_by_role("button", name="Compare 1")
    with_one.wait_for()
    store = open_store(store_path)
    record_run(store, NewRun(name="just-now"), status=Status.FINISHED)
    store.close()
    page.get_by_text("9 of 9 runs").wait_for()
    settled(page)
    assert with_one.is_visible()  # the same run is still chosen, one row further down
    page.get_by_test_id("stBaseButton-secondary").filter(has_text="Open").click()
    page.get_by_text("tweets@1: 0.").first.wait_for()
    assert page.locator("h3").first.inner_text() == "tweet-head"
    assert top


def test_brushing_an_axis_picks_trials_and_a_double_click_lets_go(page: Page, store_path: Path) -> None:
    from store import open_store
    from tests.dashboard.sweeps import make_sweep

    store = open_store(store_path)
    sweep = make_sweep(store, n=30, wanted=30, with_scores=False)
    store.close()
    with serving(store_path) as address:
        page.goto(f"{address}/sweep?sweep={sweep.id}")
        page.get_by_text("30 of 30 trials, the best first").wait_for()
        settled(page)
        lines = page.locator('[data-testid="stVegaLiteChart"]').filter(has_text="learning_rate").last
        lines.scroll_into_view_if_needed()
        box = lines.bounding_box()
        assert box
        n_axes = 6  # five parameters and the objective, between -0.45 and n - 0.6
        x = box["x"] + box["width"] * (n_axes - 1 + 0.45) / (n_axes - 0.15)

        def brush() -> None:
            page.mouse.move(x, box["y"] + 40)
            page.mouse.down()
            page.mouse.move(x + 2, box["y"] + 110, steps=6)
            page.mouse.up()

        until_seen(page, brush, re.compile(r"^(?!30 )\d+ of 30 trials, the best first"))
        n = int(re.findall(r"(\d+) of 30 trials, the best", said(page))[0])
        assert 0 < n < 20
        settled(page)
        page.mouse.dblclick(x, box["y"] + 200)
        page.get_by_text("30 of 30 trials, the best first").wait_for()


def test_from_an_upload_to_a_queued_job(page: Page, store_path: Path, tmp_path: Path) -> None:
    from store import get_job, open_readonly

    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    rows = [f'"{text}",{"good" if i % 2 else "bad"}' for i, text in enumerate(HOSTILE * 8)]
    (tmp_path / "tweets.csv").write_text("\n".join(["tweet,mood", *rows]) + "\n")
    with serving(store_path) as address:
        page.goto(f"{address}/new_run")
        settled(page)
        page.locator('input[type="file"]').set_input_files(tmp_path / "tweets.csv")
        page.get_by_text("40 rows, 2 labels in “mood”: text classification.").wait_for()
        settled(page)
        page.get_by_text("lora", exact=True).click()
        page.get_by_text('method = "lora"').first.wait_for()
        page.get_by_label("Learning rate").fill("3e-4")
        page.keyboard.press("Enter")
        page.get_by_text("learning_rate = 0.0003").first.wait_for()
        page.get_by_role("button", name="Start").click()
        page.get_by_text("Place 1 of 1 in the queue").wait_for()
        assert "job=" in page.url
    store = open_readonly(store_path)
    job = get_job(store, "@latest")
    store.close()
    assert (job.name, job.status) == ("tweets-lora", "queued")
    assert job.arguments["resolved"]["training"]["learning_rate"] == 3e-4
    assert Path(job.arguments["resolved"]["data"]["source"]).read_bytes() == (tmp_path / "tweets.csv").read_bytes()
    assert not alerts
