"""Texts without targets, prompts with answers, and chats: from a file to the store."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner.data import prepare_data
from runner.data.answers import chat_fault
from runner.data.problems import DataError
from runner.recipe import parse_recipe
from store import Store, iter_inputs, iter_texts, read_values

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Capital of France?"},
    {"role": "assistant", "content": "Paris"},
    {"role": "user", "content": "And of Spain?"},
    {"role": "assistant", "content": "Madrid"},
]


def prepare(store: Store, task: str, path: Path, records: list[dict[str, Any]], **columns: str) -> Any:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    named = "".join(f"columns.{name} = {json.dumps(column)}\n" for name, column in columns.items())
    text = f'name = "x"\ntask = "{task}"\nmodel.base = "gpt2"\n[data]\nsource = "{path}"\n{named}'
    return prepare_data(store, parse_recipe(text, folder=path.parent).recipe).dataset


def first(store: Store, dataset: Any) -> tuple[Any, Any, str]:
    """Inputs, target and text of the first training example."""
    inputs = next(iter(iter_inputs(store, dataset, "train")))[0]
    return inputs, read_values(store, dataset, "train")[0], next(iter(iter_texts(store, dataset, "train")))[0]


@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
def test_texts_need_no_target(store: Store, tmp_path: Path, task: str) -> None:
    dataset = prepare(store, task, tmp_path / "raw.jsonl", [{"text": f"text {i}"} for i in range(40)])
    inputs, target, text = first(store, dataset)
    assert set(inputs) == {"text"}
    assert target is None
    assert text.startswith("text ")
    assert dataset.label_names is None
    assert dict(dataset.n_rows) == {"train": 32, "validation": 4, "test": 4}


def test_a_prompt_is_the_example_and_its_answer_the_target(store: Store, tmp_path: Path) -> None:
    records = [{"q": f"{i} + 1?", "a": f"{i + 1}"} for i in range(40)]
    dataset = prepare(store, "instruction", tmp_path / "qa.jsonl", records, prompt="q", completion="a")
    inputs, target, text = first(store, dataset)
    assert inputs == {"prompt": text}
    assert json.loads(target) == str(int(text.split()[0]) + 1)
    other = [{**record, "a": "7"} for record in records]
    changed = prepare(store, "instruction", tmp_path / "other.jsonl", other, prompt="q", completion="a")
    assert changed.fingerprint != dataset.fingerprint


def test_what_a_prompt_is_about_is_an_input_that_a_row_may_lack(store: Store, tmp_path: Path) -> None:
    records = [
        {"instruction": f"Add one to {i}.", "input": f"about {i}" if i % 2 else "", "output": "x"} for i in range(40)
    ]
    named = {"prompt": "instruction", "input": "input", "completion": "output"}
    dataset = prepare(store, "instruction", tmp_path / "alpaca.jsonl", records, **named)
    every = [inputs for batch in iter_inputs(store, dataset, "train") for inputs in batch]
    assert {tuple(inputs) for inputs in every} == {("prompt",), ("prompt", "input")}
    with_one = next(inputs for inputs in every if "input" in inputs)
    assert with_one["input"].removeprefix("about ") in with_one["prompt"]
    assert "about" in " ".join(next(iter(iter_texts(store, dataset, "train")))), "a person can search for it"
    fewer = prepare(store, "instruction", tmp_path / "less.jsonl", records, prompt="instruction", completion="output")
    assert fewer.fingerprint != dataset.fingerprint


@pytest.mark.parametrize("as_text", [False, True])
def test_of_a_chat_the_last_turn_is_the_target(store: Store, tmp_path: Path, as_text: bool) -> None:
    chats = [[*CHAT[:-1], {"role": "assistant", "content": f"Madrid {i}"}] for i in range(20)]
    records = [{"chat": json.dumps(chat) if as_text else chat} for chat in chats]
    dataset = prepare(store, "instruction", tmp_path / "chats.jsonl", records, messages="chat")
    inputs, target, text = first(store, dataset)
    assert inputs == {"messages": CHAT[:-1]}
    assert json.loads(target).startswith("Madrid ")
    assert text.splitlines()[:2] == ["system: Be brief.", "user: Capital of France?"]


def test_a_text_made_of_a_text(store: Store, tmp_path: Path) -> None:
    records = [{"article": f"a long story {i}", "summary": f"story {i}"} for i in range(20)]
    dataset = prepare(store, "seq2seq", tmp_path / "s.jsonl", records, text="article", target="summary")
    inputs, target, text = first(store, dataset)
    assert inputs == {"text": text}
    assert json.loads(target) == text.removeprefix("a long ")


def test_everything_that_is_wrong_is_said_at_once(store: Store, tmp_path: Path) -> None:
    good = [{"prompt": f"q{i}", "completion": "a"} for i in range(10)]
    bad = [{"prompt": "q", "completion": " "}, {"prompt": "", "completion": "a"}, {"prompt": "x", "completion": 3}]
    with pytest.raises(DataError) as caught:
        prepare(store, "instruction", tmp_path / "qa.jsonl", good + bad)
    said = str(caught.value)
    assert 'line 11: no answer in "completion"' in said
    assert 'line 12: no prompt in "prompt"' in said
    assert 'line 13: "completion" holds int instead of a text' in said
    users = {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}
    with pytest.raises(DataError) as caught:
        prepare(
            store,
            "instruction",
            tmp_path / "c.jsonl",
            [{"messages": CHAT}, users, {"messages": []}],
            messages="messages",
        )
    said = str(caught.value)
    assert 'line 2: "messages" has two turns of the user in a row' in said
    assert 'line 3: no messages in "messages"' in said


def test_messages_do_not_go_with_prompts(tmp_path: Path) -> None:
    from runner.recipe import RecipeError

    text = 'name = "x"\ntask = "instruction"\nmodel.base = "gpt2"\n[data]\nsource = "a.jsonl"\n'
    with pytest.raises(RecipeError, match=r"data\.columns\.prompt.*cannot go with messages"):
        parse_recipe(text + 'columns = {messages = "m", prompt = "p"}', folder=tmp_path)


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ("not json", "no list of messages"),
        (3, "no list of messages"),
        ([{"content": "a"}], "without a role"),
        ([{"role": "user", "content": None}], "content is no text"),
        ([{"role": "assistant", "content": "a"}], "no turn of the user"),
        ([{"role": "human", "content": "a"}, {"role": "gpt", "content": "b"}], "but roles named human and gpt: rename"),
        ([*CHAT[:2], {"role": "assistant", "content": ""}, *CHAT[-2:]], "has an empty answer"),
        ([{"role": "user", "content": "a"}], "does not end with a turn of the assistant"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}], "empty answer"),
        (
            [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}],
            "two turns of the user in a row",
        ),
    ],
)
def test_what_is_no_chat_is_said(messages: Any, fault: str) -> None:
    assert fault in str(chat_fault(messages))
    assert chat_fault(CHAT) is None
