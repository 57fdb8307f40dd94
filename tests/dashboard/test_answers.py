"""Pages of runs that write answers, or foretell texts: what was asked, given and said, and two of them compared."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from store import (
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    ScoreRow,
    get_dataset,
    open_store,
    read_rows,
    record_dataset,
    record_run,
)
from tests.dashboard.conftest import Show, words

NASTY = "<script>alert(1)</script> **bold** $x$"
GIVEN = ["the cat sat down", "so it is", "yes", "nobody asked"]
EPOCHS = {
    0: ["dog dog", "", "no"],
    1: ["the cat ran", "so it was", "no"],
    2: ["the cat sat up", "so it is", f"yes {NASTY}"],
}
LOSSES = [0.5, 0.2, 1.5, 0.9]


@pytest.fixture
def answered(empty_path: Path) -> dict[str, str]:
    """Two runs that answer four prompts, one of them a chat; `first` stopped after an epoch."""
    store = open_store(empty_path)
    asked = [{"prompt": f"{NASTY} {i}"} for i in range(3)]
    inputs = [
        *asked,
        {"messages": [{"role": "system", "content": "be <b>brief</b>"}, {"role": "user", "content": "?"}]},
    ]
    rows = [NewRow("test", json.dumps(each), json.dumps(GIVEN[i]), None, each) for i, each in enumerate(inputs)]
    dataset = record_dataset(store, "asked", rows, label_names=None, source={}, fingerprint="asked")
    ids = {}
    nothing = np.full(4, np.nan)
    for name, last in (("first", 1), ("second", 2)):
        run = record_run(store, NewRun(name, task="instruction", dataset_key=dataset.key, select_metric="test/rougeL"))
        with Recorder(store, run) as recorder:
            for step in range(last + 1):
                counts = {"n_tokens": 4, "n_bytes": 16, "tokens": [["the", 0.1], [" <cat>", 4.6], [" sat", None]]}
                said = [{"text": text, **counts} for text in EPOCHS[step]]
                said.append(counts | {"answer": {"n_tokens": 2, "loss": 0.25}})
                recorder.evaluation(
                    "test", step, epoch=float(step), n_examples=4,
                    scores=[ScoreRow("loss", 3.0 - step, 0.5, 3.5, 4), ScoreRow("rougeL", 0.3 * step, 0.0, 1.0, 3)],
                    predictions=Predictions(np.full(4, -1), nothing, nothing, nothing, np.array(LOSSES) / (step + 1)),
                    responses=[json.dumps(each) for each in said],
                )  # fmt: skip
            recorder.best(last)
        ids[name] = run.id
    store.close()
    return ids


def cards(app: AppTest) -> list[str]:
    """The examples that are drawn, the legend left out."""
    return [each.proto.body for each in app.get("html") if 'class="asked"' in each.proto.body]


def test_answers_stand_beside_the_given_ones_with_what_differs_marked(show: Show, answered: dict[str, str]) -> None:
    app = show("run", run=answered["second"], tab="Examples")
    third, fourth, first, second = cards(app)
    assert "<script" not in third
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold** $x$ 2" in third
    assert "<section><h6>given</h6><p>yes</p></section>" in third
    assert '<p>yes <mark class="is-new">&lt;script&gt;alert(1)&lt;/script&gt; **bold** $x$</mark></p>' in third
    assert "<h6>system</h6><p>be &lt;b&gt;brief&lt;/b&gt;</p><h6>user</h6><p>?</p>" in fourth
    assert "<em>not asked for</em>" in fourth
    assert ' <mark class="is-lost">down</mark>' in first
    assert ' <mark class="is-new">up</mark>' in first
    assert "<mark" not in second
    said = words(app).replace("\\", "")
    assert "✓ exact · F1 1.00 · ROUGE-L 1.00 · loss 0.067" in said
    assert "✕ not exact · F1 0.67 · ROUGE-L 0.75 · loss 0.167" in said
    app.selectbox(key="kind").set_value("exact").run()
    assert cards(app) == [second]
    app.selectbox(key="kind").set_value("any answer").run()
    app.selectbox(key="order").set_value("lowest F1").run()
    assert [cards(app).index(each) for each in (third, first, second, fourth)] == [0, 1, 2, 3]


def test_earlier_epochs_and_the_likelihood_of_each_given_token(show: Show, answered: dict[str, str]) -> None:
    app = show("run", run=answered["second"], tab="Examples", epochs="true", marks="likelihood", order="as in the data")
    first = cards(app)[0]
    assert '<th>epoch 0 (untrained)</th><td><mark class="is-new">dog dog</mark></td>' in first
    assert "<th>epoch 1</th>" in first
    assert ' <i class="is-unlikely" style="--a:48%" title="p = 0.010">&lt;cat&gt;</i> sat' in first
    assert "and 2 tokens more" in first
    assert "tokens more" not in cards(app)[3], "of a chat the last answer is shown, and that is whole"
    assert "loss 0.300 of all that is learnt, 0.250 of this answer" in words(app).replace("\\", "")
    assert "<em>nothing</em>" in cards(app)[1], "an answer without a word"


def test_quality_says_what_the_answers_are_like(show: Show, answered: dict[str, str]) -> None:
    app = show("run", run=answered["second"], tab="Classes")
    assert "3 of 4 examples were answered: 1 exactly as given (33 %), none empty." in words(app).replace("\\", "")
    (table,) = (each.value for each in app.dataframe)
    assert table[["metric", "better", "untrained", "value"]].values.tolist() == [
        ["loss", "▼ lower", 3.0, 1.0], ["ROUGE-L", "▲ higher", 0.0, 0.6],
    ]  # fmt: skip


def test_two_runs_are_compared_by_what_they_wrote(show: Show, answered: dict[str, str]) -> None:
    app = show("compare", runs=f"{answered['first']},{answered['second']}")
    said = words(app).replace("\\", "")
    assert "second against first" in said
    assert "1 fixed, 0 broken" in said
    differences, scored = (each.value for each in app.dataframe)
    assert {"exact match", "ROUGE-L", "chrF", "loss", "perplexity", "bits per byte"} <= set(differences["metric"])
    assert differences.set_index("metric").at["loss", "difference"] == pytest.approx(-0.775 / 6, abs=1e-3)
    assert scored["metric"].tolist() == ["loss", "ROUGE-L"]
    app.button_group(key="tabs-kind").set_value("better").run()
    third, second, first = cards(app)
    assert "<h6>given</h6><p>yes</p>" in third, "the largest gain first"
    assert "<h6>given</h6><p>so it is</p>" in second
    assert '<p>so it <mark class="is-new">was</mark></p>' in second
    assert "the cat sat" in first


def test_the_card_of_an_example_has_what_every_run_wrote(show: Show, answered: dict[str, str]) -> None:
    store = open_store(Path(os.environ["ASSAY_STORE"]))
    example = str(read_rows(store, get_dataset(store, "asked@1"), "test")["example_id"][0])
    store.close()
    app = show("compare", runs=f"{answered['first']},{answered['second']}", section="Curves", example=example)
    (card,) = cards(app)
    assert "<h6>given</h6><p>the cat sat down</p>" in card
    assert '<h6>first</h6><p>the cat <mark class="is-new">ran</mark></p>' in card
    assert "<h6>second</h6>" in card


@pytest.fixture
def foretold(empty_path: Path) -> str:
    """A run of texts without answers: of one of them every token's loss is there."""
    store = open_store(empty_path)
    rows = [NewRow("test", text, None) for text in ("a <b>text</b>", "older")]
    dataset = record_dataset(store, "raw", rows, label_names=None, source={}, fingerprint="raw")
    run = record_run(store, NewRun("raw", task="causal-lm", dataset_key=dataset.key))
    nothing = np.full(2, np.nan)
    with Recorder(store, run) as recorder:
        recorder.evaluation(
            "test", 1, epoch=1.0, n_examples=2, scores=[ScoreRow("loss", 2.0, 1.0, 3.0, 2)],
            predictions=Predictions(np.full(2, -1), nothing, nothing, nothing, np.array([2.0, 1.0])),
            responses=['{"n_tokens": 2, "tokens": [["a", null], [" <b>text</b>", 2.0]]}', '{"n_tokens": 1}'],
        )  # fmt: skip
    store.close()
    return run.id


def test_texts_are_coloured_where_their_tokens_are_known(show: Show, foretold: str) -> None:
    app = show("run", run=foretold, tab="Examples")
    (text,) = (each.proto.body for each in app.get("html") if "&lt;b&gt;text" in each.proto.body)
    assert 'title="p = 0.135">&lt;b&gt;text&lt;/b&gt;</i>' in text
    assert "<p>older</p>" in cards(app)[1]
