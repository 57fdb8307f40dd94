"""What a model writes by itself: the same alone and in a batch, and never past what it can read."""

from runner.language.generation import write_answers
from runner.recipe.language import Generation
from tests.runner.language.conftest import Make


def test_a_batch_writes_what_each_prompt_alone_does(make: Make) -> None:
    model, backbone = make("gpt2")
    prompts = [backbone.tokenizer(text)["input_ids"] for text in ("the moon was", "a ball", "one two and very then")]
    spec = Generation(max_new_tokens=8, batch_size=2)
    together = write_answers(model, prompts, backbone.tokenizer, spec)
    assert together == [write_answers(model, [prompt], backbone.tokenizer, spec)[0] for prompt in prompts]
    assert len(set(together)) > 1
    assert all(together)
    assert not model.training


def test_nothing_is_written_past_the_last_place(make: Make) -> None:
    model, backbone = make("gpt2", n_positions=12)
    prompt = backbone.tokenizer("the moon was here and there")["input_ids"][:10]
    (short,) = write_answers(model, [prompt], backbone.tokenizer, Generation(max_new_tokens=50))
    assert 0 < len(backbone.tokenizer(short)["input_ids"]) <= 4
    full = [1] * 12
    assert write_answers(model, [full], backbone.tokenizer, Generation(max_new_tokens=5)) == [""]


def test_a_text_may_end_an_answer(make: Make) -> None:
    model, backbone = make("gpt2")
    prompt = backbone.tokenizer("the moon was")["input_ids"]
    (whole,) = write_answers(model, [prompt], backbone.tokenizer, Generation(max_new_tokens=8))
    middle = whole.split()[2]
    (cut,) = write_answers(model, [prompt], backbone.tokenizer, Generation(max_new_tokens=8, stop=middle))
    assert whole.startswith(cut)
    assert middle not in cut


def test_nothing_asked_nothing_written(make: Make) -> None:
    model, backbone = make("gpt2")
    assert write_answers(model, [], backbone.tokenizer, Generation()) == []
