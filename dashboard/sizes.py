"""How long the rows of a table are to a model that says tokens, and what a training of it may begin with."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dashboard.tasks import Task

LENGTHS = (64, 128, 256, 512, 1024)
"""Of rows in tokens, to choose among; models as small as GPT-2 read no more than the last."""
TOKENS_AT_ONCE = 4096
"""In one forward pass: what a small model trains on with a few GB of memory."""
_CHARACTERS_A_TOKEN = 3.0
"""English has 4 to 5; fewer leaves room for most languages."""
_STRETCH = 512
"""Raw texts of any length are cut into stretches, none is lost."""


def says_tokens(task: Task) -> bool:
    """Whether the task's models say tokens: what is learnt is text, or there is nothing but text.

    >>> from dashboard.tasks import CLASSIFICATION
    >>> says_tokens(CLASSIFICATION)
    False
    """
    return task.kind in ("text", "none")


def begins_with(task: Task, characters: "pd.Series[int]") -> dict[str, str]:
    """Settings that fit rows of so many characters each, path → what would be typed; none for tasks that have no need.

    Where a text answers a text every row has room, as far as the longest of LENGTHS goes: a prompt without room for its
    answer is refused.

    >>> from dashboard.tasks import Field
    >>> answers = Task("instruction", "text", (Field("prompt", "prompt"),))
    >>> begins_with(answers, pd.Series([90, 700]))
    {'model.max_length': '256', 'training.batch_size': '16'}
    """
    if not says_tokens(task) or not len(characters):
        return {}
    tokens = characters.to_numpy(dtype=np.float64) / _CHARACTERS_A_TOKEN
    needed = float(tokens.max() if task.kind == "text" else min(np.quantile(tokens, 0.95), _STRETCH))
    return settings_for(next((length for length in LENGTHS if needed <= length), LENGTHS[-1]))


def settings_for(length: int) -> dict[str, str]:
    """That length, and as many rows at once as make up `TOKENS_AT_ONCE`.

    >>> settings_for(1024)
    {'model.max_length': '1024', 'training.batch_size': '4'}
    """
    return {"model.max_length": str(length), "training.batch_size": str(max(1, min(32, TOKENS_AT_ONCE // length)))}


def measured(task: Task, profile: Mapping[str, object]) -> dict[str, str]:
    """As `begins_with`, from what `runner profile` measured of a dataset version; none where it says nothing of it.

    >>> from dashboard.tasks import Field
    >>> found = {"splits": {"train": {"tokens": {"quantiles": {"p95": 90.0, "max": 200.0}}}}}
    >>> measured(Task("instruction", "text", (Field("prompt", "prompt"),)), found)["model.max_length"]
    '256'
    """
    splits = profile.get("splits")
    if not says_tokens(task) or not isinstance(splits, Mapping) or "train" not in splits:
        return {}
    quantiles = splits["train"]["tokens"]["quantiles"]
    needed = quantiles.get("max" if task.kind == "text" else "p95")
    if needed is None:
        return {}
    needed = needed if task.kind == "text" else min(needed, _STRETCH)
    return settings_for(next((length for length in LENGTHS if needed <= length), LENGTHS[-1]))
