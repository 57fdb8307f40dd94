"""Metric modules: each loads by its path without a network and says what our own functions say."""

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants

from evals.answers import score_answers
from evals.classification import score_classification
from evals.entities import count_entities, entity_table, score_entities
from evals.generated import score_generated
from evals.metrics import Score
from evals.multilabel import score_multilabel
from evals.ranking import score_ranking
from evals.regression import score_regression
from evals.tags import Scheme, spans_of
from runner.hub import HubUnreachable
from runner.metrics import MODULES, MetricUnavailable, load_metric, module_names
from tests.runner.test_hub import closed_endpoint

RNG = np.random.default_rng(0)
LABELS = RNG.integers(3, size=60)
LOG_PROBS = np.log(RNG.dirichlet(np.ones(3), size=60) * 0.5 + 0.5 * np.eye(3)[LABELS])
SETS = (RNG.random((50, 4)) < 0.4).astype(int)
SET_PROBS = (0.6 * RNG.random((50, 4)) + 0.4 * SETS).round(2)
NUMBERS = RNG.normal(size=40).round(1)
GUESSES = (NUMBERS + RNG.normal(size=40)).round(1)
TAGS = ("O", "B-A", "I-A", "B-B", "I-B")
SENTENCES = [RNG.choice(TAGS, size=RNG.integers(1, 9)).tolist() for _ in range(50)]
TAGGED = [[tag if RNG.random() < 0.8 else str(RNG.choice(TAGS)) for tag in tags] for tags in SENTENCES]
REFERENCES = [["The cat sat on the mat.", "A cat sat on a mat"], ["It rained all day long"], ["dogs"]]
TEXTS = ["the cat sat on a mat", "it rained all night", "Dogs!"]
GAINS, RANKED = RNG.integers(0, 3, size=(20, 6)).astype(float), RNG.normal(size=(20, 6)).round(1)


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", closed_endpoint())


def _values(scores: tuple[Score, ...]) -> dict[str, float]:
    return {score.metric: score.value for score in scores}


def _ours() -> dict[str, tuple[dict[str, Any], dict[str, float]]]:
    """For each module what it is asked, and what it has to answer, by our own functions."""
    classes = _values(score_classification(LABELS, LOG_PROBS, n_boot=0))
    sets, numbers = (
        _values(score_multilabel(SETS, SET_PROBS, n_boot=0)),
        _values(score_regression(NUMBERS, GUESSES, n_boot=0)),
    )
    texts, answers = (
        _values(score_generated(TEXTS, REFERENCES, n_boot=0)),
        _values(score_answers(TEXTS, REFERENCES, n_boot=0)),
    )
    entities = _values(score_entities(SENTENCES, TAGGED, n_boot=0))
    ranked = _values(score_ranking(np.repeat(np.arange(20), 6), GAINS.ravel(), RANKED.ravel(), n_boot=0))
    said = {"predictions": LOG_PROBS.argmax(axis=1), "references": LABELS}
    guessed = {"predictions": GUESSES, "references": NUMBERS}
    written = {"predictions": TEXTS, "references": REFERENCES}
    return {
        "accuracy": (said, {"accuracy": classes["accuracy"]}),
        "f1": ({**said, "average": "macro"}, {"f1": classes["macro_f1"]}),
        "average_precision": (
            {"predictions": SET_PROBS, "references": SETS}, {"average_precision": sets["macro_ap"]}
        ),
        "seqeval": (
            {"predictions": TAGGED, "references": SENTENCES},
            {
                "overall_f1": entities["entity_f1"],
                "overall_precision": entities["entity_precision"],
                "overall_recall": entities["entity_recall"],
                "overall_accuracy": entities["tag_accuracy"],
            },
        ),
        "pearsonr": (guessed, {"pearsonr": numbers["pearson"]}),
        "spearmanr": (guessed, {"spearmanr": numbers["spearman"]}),
        "mse": (guessed, {"mse": numbers["mse"]}),
        "mae": (guessed, {"mae": numbers["mae"]}),
        "r2": (guessed, {"r2": numbers["r2"]}),
        "ndcg": ({"predictions": RANKED.tolist(), "references": GAINS.tolist(), "k": 10}, {"ndcg": ranked["ndcg@10"]}),
        "rouge": (written, {name: texts[name] for name in ("rouge1", "rouge2", "rougeL")}),
        "sacrebleu": (written, {"score": texts["bleu"]}),
        "chrf": (written, {"score": texts["chrf"]}),
        "exact_match": (
            {"predictions": TEXTS, "references": ["dogs!"] * 3, "ignore_case": True}, {"exact_match": 1 / 3}
        ),
        "squad": (written, {"exact_match": 100 * answers["exact_match"], "f1": 100 * answers["token_f1"]}),
    }  # fmt: skip


OURS = _ours()


def test_every_module_is_tried() -> None:
    assert set(module_names()) == set(OURS)
    assert {folder.name for folder in MODULES.iterdir() if folder.name != "__pycache__"} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_a_module_says_what_our_own_functions_say(name: str) -> None:
    asked, expected = OURS[name]
    found = load_metric(name).compute(**asked)
    assert {key: found[key] for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", ["rouge", "sacrebleu", "chrf"])
def test_one_reference_may_be_a_text(name: str) -> None:
    firsts = [each[0] for each in REFERENCES]
    as_lists = load_metric(name).compute(predictions=TEXTS, references=[[each] for each in firsts])
    assert load_metric(name).compute(predictions=TEXTS, references=firsts) == as_lists


@pytest.mark.parametrize("name", ["seqeval", "accuracy"])
def test_evaluate_loads_the_folder_itself(name: str, tmp_path: Path) -> None:
    import evaluate

    asked, expected = OURS[name]
    module = evaluate.load(str(MODULES / name), cache_dir=str(tmp_path))
    for row in range(len(asked["predictions"])):
        module.add(prediction=asked["predictions"][row], reference=asked["references"][row])
    found = module.compute()
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_options_of_modules() -> None:
    said = (SET_PROBS >= 0.5).astype(int)
    multilabel = load_metric("f1", "multilabel").compute(predictions=said, references=SETS, average="micro")
    assert multilabel["f1"] == pytest.approx(_values(score_multilabel(SETS, SET_PROBS, n_boot=0))["micro_f1"])
    strict = load_metric("seqeval").compute(predictions=TAGGED, references=SENTENCES, mode="strict", scheme="IOB2")
    ours = _values(score_entities(SENTENCES, TAGGED, strict=Scheme.BIO, n_boot=0))
    assert strict["overall_f1"] == pytest.approx(ours["entity_f1"])
    table = entity_table(count_entities([spans_of(tags) for tags in SENTENCES], [spans_of(tags) for tags in TAGGED]))
    by_type = load_metric("seqeval").compute(predictions=TAGGED, references=SENTENCES)
    for row in table.to_dict("records"):
        of_type = {"precision": row["precision"], "recall": row["recall"], "f1": row["f1"], "number": row["n"]}
        assert by_type[row["type"]] == pytest.approx(of_type)


def test_the_page_shows_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    page = (MODULES.parents[1] / "docs/metrics.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(block, {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("spearman 0.8 ")
    assert printed[-2:] == ["1.0", "{'accuracy': 0.5}"]
    listed = re.search(r"by folder: (.*?)\.", page, re.DOTALL)
    assert listed is not None
    assert tuple(listed[1].replace("\n", " ").split(", ")) == module_names()


def test_a_module_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "always"
    folder.mkdir()
    (folder / "always.py").write_text((MODULES / "accuracy/accuracy.py").read_text().replace('"accuracy"', '"always"'))
    for place in (folder, folder / "always.py"):
        assert load_metric(str(place)).compute(predictions=[1, 0], references=[1, 1]) == {"always": 0.5}
    (tmp_path / "empty").mkdir()
    with pytest.raises(MetricUnavailable, match=r"has no empty\.py"):
        load_metric(str(tmp_path / "empty"))


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(MetricUnavailable) as caught:
        load_metric("acuracy")
    message = str(caught.value)
    assert 'Did you mean "accuracy"?' in message
    assert "seqeval" in message
    assert '"hub:acuracy"' in message


def test_a_metric_of_a_hub_that_does_not_answer() -> None:
    with pytest.raises(HubUnreachable, match=r'hub metric "bertscore": .* cannot be reached .*come with us'):
        load_metric("hub:bertscore")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A stand-in for the model hub that has two metrics, one of which needs a package that nobody has."""
    from evaluate import config

    script = (MODULES / "accuracy/accuracy.py").read_text()
    scripts = {
        "ours": script,
        "needy": script.replace("import evaluate\n", "import evaluate\nimport no_such_package\n"),
    }

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def do_HEAD(self) -> None:
            self.answer()

        def answer(self) -> bytes:
            name = self.path.rpartition("/")[2].removesuffix(".py")
            found = name in scripts and f"evaluate-metric/{name}/" in self.path
            body = scripts[name].encode() if found else b""
            self.send_response(200 if found or self.path == "/" else 404)
            self.send_header("ETag", f'"{name}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(config, "HUB_EVALUATE_URL", endpoint + "/spaces/{path}/resolve/{revision}/{name}")
    monkeypatch.setattr(config, "HF_EVALUATE_CACHE", tmp_path / "cache")
    monkeypatch.setattr(config, "DOWNLOADED_EVALUATE_PATH", tmp_path / "downloads")
    yield endpoint
    server.shutdown()
    server.server_close()


def test_metrics_of_the_hub(hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_metric("hub:ours").compute(predictions=[1, 0], references=[1, 1]) == {"accuracy": 0.5}
    with pytest.raises(MetricUnavailable, match=r'hub metric "needy": .*no_such_package'):
        load_metric("hub:needy")
    with pytest.raises(MetricUnavailable, match=r'hub metric "nowhere": the hub has no module'):
        load_metric("hub:nowhere")
    # once loaded it is there without the hub
    from evaluate import config

    monkeypatch.setattr(constants, "ENDPOINT", closed_endpoint())
    monkeypatch.setattr(config, "HUB_EVALUATE_URL", closed_endpoint() + "/spaces/{path}/resolve/{revision}/{name}")
    assert load_metric("hub:ours").compute(predictions=[1, 0], references=[1, 1]) == {"accuracy": 0.5}
