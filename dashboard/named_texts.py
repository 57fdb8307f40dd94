"""The texts of an example that is several, apart and by name: a claim and its source, a question and a passage."""

from collections.abc import Mapping
from typing import Any

from dashboard.formats import short

BETWEEN = " ⏐ "
"""Stands between the texts of an example where there is one line for all."""


def named_texts(inputs: Mapping[str, Any], source: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each text with the name of its field: that of its column where it is known; none where there is one text.

    inputs: by name, as `store.read_inputs`. source: of the data set.

    >>> named_texts({"text": "It rains.", "text_pair": "It is wet."}, {"columns": {"text": "claim"}})
    [('claim', 'It rains.'), ('text_pair', 'It is wet.')]
    >>> named_texts({"text": "It rains."}, {}), named_texts({"tokens": ["It", "rains"], "text": "a"}, {})
    ([], [])
    """
    columns = source.get("columns")
    known = columns if isinstance(columns, Mapping) else {}
    if len(inputs) < 2 or not all(isinstance(text, str) for text in inputs.values()):
        return []
    return [(str(known.get(name) or name), text) for name, text in inputs.items()]


def one_line(text: str, inputs: Mapping[str, Any], limit: int = 300) -> str:
    """A text as a table shows it; of several each gets its share of the line.

    >>> one_line("It rains.\\nIt is wet.", {"text": "It rains.", "text_pair": "It is wet."})
    'It rains. ⏐ It is wet.'
    >>> one_line("It\\nrains.", {"text": "It\\nrains."})
    'It rains.'
    """
    texts = [each for _, each in named_texts(inputs, {})]
    return BETWEEN.join(short(each, limit // len(texts)) for each in texts) if texts else short(text, limit)
