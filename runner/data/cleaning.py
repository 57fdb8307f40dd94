"""The steps of `[data.clean]`: what is done to the texts of inputs before they are stored, or predicted.

Targets, the last turns of chats among them, stay as they are. A word of a sentence of which nothing would be left stays
too: its tag belongs to it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from runner.data.problems import DataError

if TYPE_CHECKING:
    from runner.recipe.cleaning import Clean
    from store import Dataset

Step = Callable[[str], str]

PINNED = "2.0.0"
"""Of simplemma: another version has other words."""
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Cleaner:
    """Does what a `[data.clean]` says.

    Raises DataError where lemmas are wanted and cannot be had.
    """

    def __init__(self, spec: "Clean") -> None:
        self.steps: dict[str, Any] = {
            name: value for name, value in spec.model_dump(mode="json").items() if value not in (None, False)
        }
        """What is done, as JSON; {} for nothing. With the version of what knows the lemmas."""
        self._todo: list[Step] = []
        if spec.unicode is not None:
            self._todo.append(partial(unicodedata.normalize, spec.unicode))
        if spec.controls:
            self._todo.append(partial(_CONTROLS.sub, ""))
        if spec.lemmatize is not None:
            self._todo.append(_lemmas(spec.lemmatize))
            self.steps["simplemma"] = PINNED
        if spec.lowercase:
            self._todo.append(str.lower)
        if spec.whitespace:
            self._todo.append(_one_blank)

    def text(self, text: str) -> str:
        """A text, cleaned."""
        for step in self._todo:
            text = step(text)
        return text

    def inputs(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Field of `data.columns` → value: texts, lists of words, chats."""
        return {name: self._value(value) for name, value in inputs.items()} if self._todo else dict(inputs)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value and isinstance(value[0], Mapping):
            return [{**turn, "content": self.text(turn["content"])} for turn in value]
        return [self.text(word).strip() or word for word in value]


def cleaner_of(dataset: "Dataset | None") -> Cleaner:
    """The one that the texts of a stored dataset have been through. Raises DataError as `Cleaner`."""
    from runner.recipe.cleaning import Clean

    steps: Any = (dataset.source.get("clean") if dataset is not None else None) or {}
    return Cleaner(Clean(**{name: value for name, value in steps.items() if name != "simplemma"}))


def _one_blank(text: str) -> str:
    """
    >>> _one_blank(" a\\n  fine\\u00a0day ")
    'a fine day'
    """
    return " ".join(text.split())


def _lemmas(language: str) -> Step:
    try:
        found = version("simplemma")
    except PackageNotFoundError:
        found = None
    if found != PINNED:
        there = "it is not installed" if found is None else f"{found} is installed, and another version has other words"
        raise DataError(
            [f"data.clean.lemmatize needs simplemma {PINNED}: {there}. Install it with: pip install 'assay[clean]'"]
        )
    from simplemma import lemmatize

    try:
        lemmatize("a", lang=language)
    except ValueError as error:
        known = "it knows en, de, fr, es and others"
        raise DataError([f'data.clean.lemmatize = "{language}": simplemma knows no such language; {known}.']) from error
    return lambda text: _WORD.sub(lambda word: str(lemmatize(word.group(), lang=language)), text)
