"""What an exported model is asked, to see that it answers as the run's own: stored examples, or texts of our own."""

from collections.abc import Mapping
from typing import Any

from runner.encoding import pieces_of
from runner.publish.example_language import Prompting
from runner.publish.kinds import Kind
from runner.publish.plan import Plan
from runner.recipe.shapes import SHAPES
from store import get_dataset, iter_inputs

N_COMPARED = 64
"""Examples that both models are asked about."""

N_OF_LANGUAGE = 8
"""The same of language models, which say a probability for each token there is."""

_TEXTS = ("a", "A short text.", "Another text, which is somewhat longer than the others are.", "2 + 2 = 4?")


def questions_of(plan: Plan) -> list[Mapping[str, Any]]:
    """Inputs as the store has them, from the split that the model was not trained on where there is one."""
    most = N_OF_LANGUAGE if plan.kind.is_language else N_COMPARED
    if plan.run.dataset_key is not None:
        dataset = get_dataset(plan.store, plan.run.dataset_key)
        split = next((name for name in ("test", "validation", "train") if dataset.n_rows.get(name)), None)
        rows = [] if split is None else next(iter_inputs(plan.store, dataset, split, most), [])
        if stored := [row for row in rows[:most] if _is_something(row)]:
            return stored
    shape = SHAPES[str(plan.run.task)]
    fields = [name for name in shape.inputs if name not in shape.optional]
    return [{name: _made(name, text) for name in fields or ["prompt"]} for text in _TEXTS]


def as_given(inputs: Mapping[str, Any], kind: Kind, prompting: Prompting) -> Any:
    """An input as the lines of the README take it."""
    if "messages" in inputs:
        return list(inputs["messages"])
    if kind.says == "answer":
        about = inputs.get("input")
        prompt = inputs["prompt"] + (f"{prompting.joint}{about}" if about else "")
        return [{"role": "user", "content": prompt}] if prompting.is_chat else prompt
    if kind.says == "tags":
        return list(inputs["tokens"])
    pieces = pieces_of(inputs)
    return pieces if len(pieces) > 1 else pieces[0]


def _is_something(row: Mapping[str, Any]) -> bool:
    """Whether nothing of it is empty that may not be."""
    return all(value.strip() if isinstance(value, str) else value for name, value in row.items() if name != "input")


def _made(name: str, text: str) -> Any:
    return text.split() if name == "tokens" else text
