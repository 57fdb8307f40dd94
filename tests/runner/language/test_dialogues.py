"""Prompts and answers as one text: what is learnt of it, and what cannot be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runner.data.problems import DataError
from runner.encoding import NO_TARGET, EncodedSplit
from runner.errors import ModelError
from runner.language.dialogues import Dialogue, Stretch, Template, encode_dialogues
from runner.language.likelihood import Likelihood
from runner.recipe.language import Instruction
from runner.tasks.generation import AnswerExaminer, Outputs

CHAT = [
    {"role": "system", "content": "the one"},
    {"role": "user", "content": "moon"},
    {"role": "assistant", "content": "rain"},
    {"role": "user", "content": "ball"},
]
JINJA = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }} <end>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture
def tokenizer(bare_tokenizer: Path) -> Any:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(bare_tokenizer)
    loaded.pad_token = loaded.eos_token
    return loaded


def learnt(split: EncodedSplit, tokenizer: Any) -> list[str]:
    """What each example is to say, blanks left out."""
    assert split.targets is not None
    rows = [split.targets[a:b] for a, b in zip(split.offsets, split.offsets[1:], strict=False)]
    return [tokenizer.decode(row[row != NO_TARGET].tolist()).replace(" ", "") for row in rows]


def test_of_a_prompt_and_its_answer_the_answer_and_its_end_are_learnt(tokenizer: Any) -> None:
    dialogues = [Dialogue("the moon", "rain"), Dialogue("ball", "goal team")]
    split = encode_dialogues([dialogues], tokenizer, Instruction(), 32, split="train", n_references=1)
    assert learnt(split, tokenizer) == ["rain<end>", "goalteam<end>"]
    assert split.references == ("rain",)
    assert split.n_before is not None
    prompts = [split.ids[a : a + n].tolist() for a, n in zip(split.offsets, split.n_before, strict=False)]
    assert [tokenizer.decode(prompt).replace(" ", "") for prompt in prompts] == ["themoon", "ball"]
    everything = encode_dialogues([dialogues], tokenizer, Instruction(loss_on="everything"), 32, split="train")
    assert learnt(everything, tokenizer) == ["themoonrain<end>", "ballgoalteam<end>"]


@pytest.mark.parametrize(
    ("loss_on", "said"),
    [("answers", "rain<end>goal<end>"), ("last-answer", "goal<end>")],
)
def test_of_a_chat_the_turns_of_the_assistant_are_learnt(tokenizer: Any, loss_on: Any, said: str) -> None:
    tokenizer.chat_template = JINJA
    split = encode_dialogues([[Dialogue(CHAT, "goal")]], tokenizer, Instruction(loss_on=loss_on), 64, split="train")
    assert learnt(split, tokenizer) == [said]
    template = Template(tokenizer, Instruction(loss_on=loss_on))
    parts = template.stretches(Dialogue(CHAT, "goal"))
    assert "".join(part.text for part in parts) == "".join(
        f"{m['role']}: {m['content']} <end>" for m in [*CHAT, {"role": "assistant", "content": "goal"}]
    )
    assert parts[-1] == Stretch("goal <end>", True)
    log_probs = np.where(np.arange(split.n_tokens) < split.n_before, -1.0, -0.25).astype(np.float32)
    log_probs[split.targets == NO_TARGET] = np.nan
    found = AnswerExaminer({}, True).examine("test", Outputs(Likelihood(log_probs, log_probs), []), split)
    answer = json.loads(found.responses[0])
    assert answer["n_tokens"] == (split.targets != NO_TARGET).sum()
    last = {"n_tokens": len(tokenizer("goal <end>")["input_ids"]), "loss": 0.25}
    assert answer.get("answer") == (last if loss_on == "answers" else None), "of the last turn, where more is learnt"


def test_a_template_that_forgets_earlier_answers_lets_the_last_be_learnt(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role != 'assistant' or loop.last %}{{ m.role }}: {{ m.content }} <end>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    split = encode_dialogues([[Dialogue(CHAT, "goal")]], tokenizer, Instruction(), 64, split="train")
    assert learnt(split, tokenizer) == ["goal<end>"]


def test_chatml_is_there_for_tokenizers_without_a_template(tokenizer: Any) -> None:
    with pytest.raises(ModelError, match=r"no chat template.*chatml"):
        encode_dialogues([[Dialogue(CHAT, "goal")]], tokenizer, Instruction(), 64, split="train")
    with pytest.raises(ModelError, match='"chat": the tokenizer has no chat template'):
        Template(tokenizer, Instruction(template="chat"))
    (*_, last) = Template(tokenizer, Instruction(template="chatml")).stretches(Dialogue("moon", "rain"))
    assert last == Stretch("rain<|im_end|>\n", True)


def test_what_a_template_refuses_is_said(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ModelError, match=r"refuses a chat .*roles must alternate"):
        encode_dialogues([[Dialogue(CHAT, "goal")]], tokenizer, Instruction(), 64, split="train")


def test_prompts_that_leave_no_room_are_refused_together_or_skipped(tokenizer: Any) -> None:
    dialogues = [Dialogue("the moon " * 20, "rain"), Dialogue("ball", "goal"), Dialogue("a star " * 20, "wind")]
    with pytest.raises(DataError) as caught:
        encode_dialogues([dialogues], tokenizer, Instruction(), 16, split="train")
    assert "no room for an answer in model.max_length = 16" in str(caught.value)
    assert "row 1 of the split, “the moon the moon" in str(caught.value)
    assert "row 3 of the split, “a star a star" in str(caught.value)
    with pytest.raises(DataError, match=r"the 16 tokens that this model can read.*Take a model that reads more"):
        encode_dialogues([dialogues], tokenizer, Instruction(), 16, split="train", is_all=True)
    split = encode_dialogues([dialogues], tokenizer, Instruction(long_prompts="skip"), 16, split="train")
    assert learnt(split, tokenizer) == ["", "goal<end>", ""]
    assert split.lengths.max() == 16
    assert split.n_truncated == 0


def test_answers_that_are_too_long_lose_their_end(tokenizer: Any) -> None:
    split = encode_dialogues([[Dialogue("ball", "goal " * 40)]], tokenizer, Instruction(), 16, split="train")
    assert split.n_truncated == 1
    assert int(split.lengths[0]) == 16
    assert split.labels[0] == len(tokenizer.decode(split.targets[split.targets != NO_TARGET].tolist()))
    assert np.all(split.ids[split.targets != NO_TARGET] == split.targets[split.targets != NO_TARGET])


def test_what_a_prompt_is_about_stands_behind_it(tokenizer: Any) -> None:
    dialogue = Dialogue("the moon", "rain", "a ball")
    tokenizer.chat_template = JINJA
    said = {
        name: [part.text for part in Template(tokenizer, Instruction(template=name)).stretches(dialogue)]
        for name in ("plain", "chat", "alpaca")
    }
    assert said == {
        "plain": ["the moon\n\na ball\n", "rain"],
        "chat": ["user: the moon\n\na ball <end>assistant: ", "rain <end>"],
        "alpaca": ["### Instruction:\nthe moon\n\n### Input:\na ball\n\n### Response:\n", "rain"],
    }
    alone = Template(tokenizer, Instruction(template="alpaca")).stretches(Dialogue("the moon", "rain"))
    assert alone[0].text == "### Instruction:\nthe moon\n\n### Response:\n"
    with pytest.raises(ModelError, match='"alpaca" has no place for messages'):
        Template(tokenizer, Instruction(template="alpaca")).stretches(Dialogue(CHAT, "goal"))
