import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from runner.triage.conditions import parse_conditions
from runner.triage.gates import judge
from runner.triage.report import report_html, write_report
from runner.triage.sentences import sentences
from store import NewRow, Store, begin_triage, dataset_fingerprint, finish_triage, record_dataset, record_step
from tests.store.triages import Filled, fill_triage

HOSTILE = '<script>alert(1)</script> & "quotes" \'</td> \x00 \ud800'


class Tags(HTMLParser):
    """Every tag with its attributes, and whether what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags_of(html: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser.tags


@pytest.fixture
def filled(store: Store) -> Filled:
    return fill_triage(store)


def test_it_says_what_was_found_and_needs_nothing_else(store: Store, filled: Filled) -> None:
    verdicts = judge(store, filled.triage, filled.dataset, parse_conditions(["label_errors > 1 %"]))
    html = report_html(store, filled.triage, filled.dataset, verdicts)
    text = re.sub(r"<[^>]+>", " ", html)
    assert all(sentence.split(";")[0] in text for sentence in sentences(filled.triage.summary))
    for words in (
        "the lower end is compared",
        "card_delivery_estimate",
        "duplicate across splits",
        "Drop the copy outside",
    ):
        assert words in text
    tags = tags_of(html)
    assert {"script", "link", "img", "iframe", "object"}.isdisjoint(tag for tag, _ in tags)
    assert not any({"src", "href", "onclick", "onload"} & set(attributes) for _, attributes in tags)
    assert "url(" not in html
    assert "@import" not in html


def test_texts_labels_and_names_are_text(store: Store, tmp_path: Path) -> None:
    labels = [HOSTILE.replace("\x00", "").replace("\ud800", ""), "<b>bold"]
    dataset = record_dataset(
        store,
        "<i>name",
        [NewRow("train", f"{HOSTILE.replace(chr(0), '')} {i}".replace("\ud800", ""), i % 2) for i in range(6)],
        label_names=labels,
        source={},
        fingerprint=dataset_fingerprint(labels, {}),
    )
    made = fill_triage(store)
    triage = begin_triage(
        store, dataset, fingerprint="x", versions={"<u>": 1}, sources=[{"kind": "run", "id": "<s>", "name": "<s>"}]
    )
    findings = pd.DataFrame(
        {
            "kind": ["empty"],
            "split": ["train"],
            "position": [0],
            "risk": [1.0],
            "evidence": [{"reason": HOSTILE.replace("\ud800", "")}],
        }
    )
    queue = pd.DataFrame(
        {"split": "train", "position": range(6), "risk": 0.9, "suggested": 1, "suggested_probability": 0.5}
    )
    record_step(store, triage.key, "findings", seconds=1, findings=findings, queue=queue)
    summary = {**made.triage.summary, "findings": {"empty": 1}}
    summary["labels"] = {
        **summary["labels"],
        "pairs": [{"given": labels[0], "likely": labels[1], "n": 3, "low": 1, "high": 9}],
    }
    triage = finish_triage(store, triage.key, summary)
    path = tmp_path / "out.html"
    write_report(path, store, triage, dataset, [])
    html = path.read_text(encoding="utf-8")
    assert {"script", "b", "i", "u", "s"} & {tag for tag, _ in tags_of(html)} <= {"b"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert html.count("<b>") == html.count("</b>")
    assert [each.name for each in tmp_path.iterdir() if "out" in each.name] == ["out.html"]


def test_a_triage_of_texts_alone_has_a_report(store: Store) -> None:
    dataset = record_dataset(
        store,
        "bare",
        [NewRow("train", f"text {i}", None) for i in range(3)],
        label_names=None,
        source={},
        fingerprint="f",
    )
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=[])
    triage = finish_triage(store, triage.key, {"n": 3, "labels": None, "findings": {}, "missing": {}})
    html = report_html(store, triage, dataset)
    assert "3 training examples; without two classes" in html
    tags_of(html)
