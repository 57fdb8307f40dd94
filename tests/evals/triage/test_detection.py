import json

import numpy as np
import pandas as pd
import pytest

from evals.triage.detection import detect, find_all, flagged_rows, missing_inputs
from evals.triage.findings import DETECTORS, Detector, get_detector
from evals.triage.found import Found
from evals.triage.inputs import Inputs

EVERYTHING = 400


@pytest.fixture(scope="module")
def everything() -> Inputs:
    """A small data set with one of each planted, as far as a text classification data set can have it."""
    rng = np.random.default_rng(0)
    n = EVERYTHING
    labels = np.arange(n) % 4
    subjects = ["card", "transfer", "refund", "account"]
    words = [f"word{at}" for at in range(300)]
    texts: list[str | None] = [
        f"what is the {subjects[label]} and can you {' '.join(rng.choice(words, 6))}" for label in labels
    ]
    texts[10] = texts[14]
    texts[11], texts[12], texts[13] = "", "cafÃ© donâ€™t", "<p>fish &amp; chips</p>"
    texts[15] = "write to ann@mail.org please"
    texts[16] = "label: card_fee what is it"
    texts[17] = "buy now " * 9
    texts[18] = "где моя карта"
    texts[19] = texts[200]
    texts[21] = texts[28] = texts[24]
    embeddings = np.eye(8)[labels] + rng.normal(0, 0.2, (n, 8))
    embeddings[20] = [0, 0, 0, 0, 0, 0, 0, 5]
    logits = 4 * np.eye(4)[labels] + rng.normal(0, 1, (n, 4))
    splits = np.where(np.arange(n) < 200, "train", np.where(np.arange(n) < 300, "validation", "test"))
    return Inputs(
        n, texts=texts, labels=labels, label_names=["card_fee", "moving", "back", "login"], splits=splits,
        metadata=pd.DataFrame({"source": np.where(np.arange(n) % 3 == 0, "web", "app")}), embeddings=embeddings,
        log_probs=logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), label_risk=rng.random(n),
        suggested=np.where(rng.random(n) < 0.5, -1, 2), n_tokens=rng.integers(5, 140, n), max_length=128,
    )  # fmt: skip


def test_what_is_planted_is_found(everything: Inputs) -> None:
    found = find_all(everything)
    rows = {kind: set(frame["row"]) for kind, frame in found.examples.groupby("kind")}
    assert rows["empty"] == {11}
    assert rows["encoding"] == {12}
    assert rows["markup"] == {13}
    assert rows["exact_duplicate"] == {14, 24, 28}
    assert rows["personal_data"] == {15}
    assert rows["label_leak"] == {16}
    assert rows["repetition"] == {17}
    assert rows["language"] == {18}
    assert rows["split_leak"] == {19}
    assert 20 in rows["outlier"]
    assert rows["contradiction"] == {19, 200, 21, 24, 28}
    assert rows["truncated"] == set(np.flatnonzero(everything.n_tokens > 128).tolist())
    assert rows["label_error"] == set(np.flatnonzero(everything.label_risk >= 0.5).tolist())


def test_every_finding_is_plain_and_in_its_range(everything: Inputs) -> None:
    found = find_all(everything)
    assert found.examples["risk"].between(0, 1).all()
    assert found.examples["row"].between(0, EVERYTHING - 1).all()
    for evidence in [*found.examples["evidence"], *found.groups["evidence"]]:
        assert json.loads(json.dumps(evidence)) == evidence
    for kind, frame in found.examples.groupby("kind"):
        assert frame["risk"].is_monotonic_decreasing, kind
        suggests = get_detector(str(kind)).suggests
        assert suggests is None or any(suggests in evidence for evidence in frame["evidence"]), kind
    assert found.groups["risk"].between(0, 1).all()
    assert set(found.groups["kind"]) >= {"split_leak", "personal_data"}
    assert all(len(rows) == n for rows, n in zip(found.groups["rows"], found.groups["n"], strict=True))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_examples_are_no_error(n: int) -> None:
    for label in (-1, 0):
        inputs = Inputs(
            n, texts=["a text", None][:n], labels=np.full(n, label), label_names=["only"],
            splits=np.array(["train", "test"][:n], dtype=object), metadata=pd.DataFrame({"source": ["web"] * n}),
            embeddings=np.ones((n, 3)), log_probs=np.zeros((n, 1)), label_risk=np.full(n, np.nan),
            n_tokens=np.full(n, 3), max_length=128, prompts=["why?", None][:n], answers=[None, "so"][:n],
            answer_loss=np.full(n, np.nan), answer_loss_alone=np.ones(n), token_offsets=np.arange(n + 1),
            target_log_probs=np.full(n, np.nan), best_other_log_probs=np.zeros(n), token_p_given=np.ones(n),
            given_spans=[[]] * n, predicted_spans=[None] * n, label_sets=np.full((n, 1), -1),
            label_set_probs=np.full((n, 1), np.nan), numbers=np.zeros(n), predicted_numbers=np.full(n, np.nan),
        )  # fmt: skip
        for detector in DETECTORS:
            assert missing_inputs(detector, inputs) == (), detector.kind
            found = detect(detector, inputs)
            assert found.risk.shape == (n,), detector.kind
            assert not (found.risk > 1).any(), detector.kind
            assert all(len(column) == n for column in found.evidence.values()), detector.kind


def test_nothing_known_finds_nothing() -> None:
    found = find_all(Inputs(3))
    assert found.examples.empty
    assert list(found.examples.columns) == ["kind", "row", "risk", "evidence"]
    assert found.groups.empty
    assert set(found.missing) == {detector.kind for detector in DETECTORS}
    with pytest.raises(ValueError, match=r"outlier needs neighbours, which the inputs lack\."):
        detect(get_detector("outlier"), Inputs(3))


def test_all_lengths_that_are_wrong_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"texts has 1 rows; needed: one an example, 2; labels has 3 rows"):
        Inputs(2, texts=["a"], labels=np.zeros(3, dtype=np.int64))


def test_what_follows_from_the_inputs() -> None:
    log_probs = np.log([[0.9, 0.1], [0.2, 0.8], [np.nan, np.nan]])
    inputs = Inputs(3, log_probs=log_probs, labels=np.array([0, 0, 1]), splits=np.array(["train", "test", "dev"]))
    assert inputs.predicted is not None
    assert inputs.predicted.tolist() == [0, 1, -1]
    assert inputs.errors is not None
    assert inputs.errors.tolist() == pytest.approx([0, 1, np.nan], nan_ok=True)
    assert inputs.is_train.tolist() == [True, False, False]
    given = Inputs(3, log_probs=log_probs, predicted=np.array([1, 1, 1]))
    assert given.predicted is not None
    assert given.predicted.tolist() == [1, 1, 1]
    assert (given.errors, given.duplicates, given.neighbours, given.slicings) == (None, None, None, [])
    assert given.is_train.all()


def test_settings_reach_their_detector() -> None:
    inputs = Inputs(2, embeddings=np.ones((2, 3)), texts=["a", "b"], settings={"sparse_region": {"n_regions": 1}})
    assert detect(get_detector("sparse_region"), inputs).groups == ()
    with pytest.raises(TypeError, match="no_such"):
        detect(get_detector("empty"), Inputs(1, texts=["a"], settings={"empty": {"no_such": 1}}))


def test_a_new_detector_is_a_function_and_a_row() -> None:
    def shouting(texts: list[str]) -> Found:
        return Found(np.array([sum(map(str.isupper, text)) / max(1, len(text)) for text in texts]), {})

    mine = Detector("shouting", "capitals", ("texts",), shouting, get_detector("empty").action, "Lower it.")
    found = find_all(Inputs(3, texts=["HELLO", "hello", "HEllo"]), [mine])
    assert found.examples["row"].tolist() == [0]
    assert flagged_rows(mine, shouting(["ABC", "a"])).tolist() == [0]
