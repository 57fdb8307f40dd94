"""Nested states (an optimizer's, a scheduler's) as JSON with their tensors apart, so that no pickle is ever read.

JSON has no tuples, no tensors, and no keys but strings; they stand as `{"$tuple": [...]}`, `{"$tensor": "3"}` and
`{"$dict": [[key, value], ...]}`.
"""

from typing import Any

import numpy as np
from torch import Tensor


def take_apart(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A nest of dicts, lists, tuples, plain values and tensors → what JSON can hold, and the tensors by number.

    The tensors are on the CPU, contiguous, and share no memory with each other. Raises TypeError for anything else.

    >>> take_apart({0: (1.5, None), "name": [True]})[0]
    {'$dict': [[0, {'$tuple': [1.5, None]}], ['name', [True]]]}
    """
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()

    def plain(value: Any, where: str) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value.item() if isinstance(value, np.generic) else value
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Tensor):
            name = str(len(tensors))
            kept = value.detach().cpu().contiguous()
            place = kept.untyped_storage().data_ptr()
            tensors[name] = kept.clone() if place in seen else kept
            seen.add(place)
            return {"$tensor": name}
        if isinstance(value, dict):
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
            return {"$dict": [[plain(key, where), plain(item, f"{where}.{key}")] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            items = [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
            return items if isinstance(value, list) else {"$tuple": items}
        raise TypeError(f"{where} is a {type(value).__name__}, which neither JSON nor safetensors can hold.")

    return plain(tree, "state"), tensors


def put_together(plain: Any, tensors: dict[str, Tensor]) -> Any:
    """What `take_apart` was given.

    >>> import torch
    >>> plain, tensors = take_apart({"betas": (0.9, 0.99), "state": {0: torch.ones(2)}})
    >>> put_together(plain, tensors)
    {'betas': (0.9, 0.99), 'state': {0: tensor([1., 1.])}}
    """
    if isinstance(plain, list):
        return [put_together(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {"$tensor": name}:
            return tensors[name]
        case {"$tuple": items}:
            return tuple(put_together(item, tensors) for item in items)
        case {"$dict": pairs}:
            return {put_together(key, tensors): put_together(item, tensors) for key, item in pairs}
    return {key: put_together(item, tensors) for key, item in plain.items()}
