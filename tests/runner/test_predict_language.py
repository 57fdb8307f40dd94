"""`runner predict` of runs that say tokens: what they write, and how likely they find texts."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny import CLUES, rows
from runner.data.answers import chat_fault
from store import Store, get_dataset, get_evaluation, iter_inputs, read_responses, read_values
from tests.docs.stand_ins import CHAT_TEMPLATE, write_models
from tests.runner.conftest import Kit
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

SWAP = dict(zip(CLUES, ("bread", "goal", "moon"), strict=True))


def write(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def trained(kit: Kit, store: Store, folder: Path, task: str, **changed: Any) -> Any:
    records = [{"text": text, "prompt": text, "completion": SWAP[label]} for text, label in rows(160, seed=4)]
    common = {
        "task": task, "name": task, "data__source": write(folder / "all.jsonl", records), "model__base": str(kit.gpt2),
        "model__max_length": 24, "model__pooling": None, "training__head_learning_rate": None,
    }  # fmt: skip
    if task in ("instruction", "seq2seq"):
        common |= {"generation__examples": 30, "generation__max_new_tokens": 4}
    run = kit.train(store, **{**common, **changed})
    assert run.status == "finished", run.cause
    return run


def test_prompts_are_answered_as_in_the_runs_own_evaluation(
    runner: Runner, kit: Kit, store: Store, tmp_path: Path
) -> None:
    run = trained(kit, store, tmp_path, "instruction")
    out = tmp_path / "answers.jsonl"
    said = runner(store, "predict", "instruction", "--split", "test", "--out", str(out), "--json", "--device", "cpu")
    assert said.code == 0, said.err
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    own = read_responses(store, evaluation)
    answers = read(out)
    assert len(answers) == 16
    assert [answer["answer"] for answer in answers] == [own[at]["text"] for at in range(16)]
    assert {answer["given"] for answer in answers} <= set(SWAP.values())
    # a file, to a dataset: what the model wrote is what another may learn
    asked = write(tmp_path / "asked.jsonl", [{"prompt": answer["prompt"]} for answer in answers])
    made = runner(store, "predict", "instruction", asked, "--to-dataset", "written", "--device", "cpu")
    assert made.code == 0, made.err
    dataset = get_dataset(store, "written@1")
    assert [json.loads(value) for value in read_values(store, dataset, "train")] == [a["answer"] for a in answers]
    assert next(iter(iter_inputs(store, dataset, "train")))[0] == {"prompt": answers[0]["prompt"]}


def test_chats_are_answered_up_to_the_users_last_turn(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(kit.gpt2)
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(tmp_path / "chatting")
    chats = [
        {"chat": [{"role": "user", "content": text[:9]}, {"role": "assistant", "content": SWAP[label]}]}
        for text, label in rows(60, seed=4)
    ]
    assert chat_fault(chats[0]["chat"]) is None
    trained(
        kit, store, tmp_path, "instruction", data__source=write(tmp_path / "chats.jsonl", chats),
        data__columns={"messages": "chat"}, model__tokenizer=str(tmp_path / "chatting"), training__epochs=1,
    )  # fmt: skip
    asked = [{"chat": chats[0]["chat"][:1]}, chats[0], {"chat": None}]
    out = tmp_path / "said.jsonl"
    said = runner(store, "predict", "instruction", write(tmp_path / "asked.jsonl", asked), "--out", str(out))
    assert said.code == 0, said.err
    first, second, third = read(out)
    assert first["answer"] == second["answer"]
    assert third["answer"] is None


def test_texts_are_judged(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    trained(kit, store, tmp_path, "causal-lm", model__method="lora", training__epochs=1)
    texts = write(tmp_path / "texts.jsonl", [{"text": "the moon was here"}, {"text": "w1 w2 w3 " * 30}, {"text": ""}])
    out = tmp_path / "judged.csv"
    said = runner(store, "predict", "causal-lm", texts, "--out", str(out), "--device", "cpu")
    assert said.code == 0, said.err
    header, first, second, third = out.read_text().splitlines()
    assert header == "row,text,loss,perplexity,tokens"
    assert float(first.split(",")[2]) > 0
    assert int(second.split(",")[4]) > 24  # longer than the model, and judged whole
    assert third == "3,,,,"


def test_hidden_tokens_are_judged(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    trained(kit, store, tmp_path, "masked-lm", model__base=str(tmp_path / "models" / "mlm"), training__epochs=1)
    texts = write(tmp_path / "texts.jsonl", [{"text": "the moon was here " * 5}])
    out = tmp_path / "judged.jsonl"
    said = runner(store, "predict", "masked-lm", texts, "--out", str(out), "--device", "cpu")
    assert said.code == 0, said.err
    (answer,) = read(out)
    assert answer["tokens"] == 3  # of twenty: the share that evaluations hide
    assert answer["loss"] > 0


def test_texts_are_made_of_texts(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    t5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    trained(
        kit, store, tmp_path, "seq2seq", model__base="scratch:t5", model__tokenizer=str(kit.tokenizer),
        model__config=t5, data__columns={"target": "completion"}, seq2seq__prefix="the one", training__epochs=1,
    )  # fmt: skip
    out = tmp_path / "made.parquet"
    said = runner(store, "predict", "seq2seq", "--split", "validation", "--out", str(out), "--device", "cpu")
    assert said.code == 0, said.err
    import pandas as pd

    table = pd.read_parquet(out)
    assert list(table.columns) == ["row", "text", "given", "answer"]
    assert len(table) == 16
    lines = tmp_path / "made.jsonl"
    said = runner(store, "predict", "seq2seq", "--split", "validation", "--out", str(lines), "--device", "cpu")
    assert said.code == 0, said.err
    assert [(line["text"], line["answer"]) for line in read(lines)] == list(
        zip(table["text"], table["answer"], strict=True)
    )


@pytest.mark.parametrize("objective", ["latency/ms"])
def test_the_time_of_one_text_is_measured(kit: Kit, store: Store, tmp_path: Path, objective: str) -> None:
    from runner.sweep.latency import measure_latency

    run = trained(kit, store, tmp_path, "causal-lm", training__epochs=1)
    found = measure_latency(store, run)
    assert found is not None
    assert 0 < found.low <= found.median <= found.high
