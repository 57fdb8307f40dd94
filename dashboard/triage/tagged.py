"""Sentences with spans as files to take away: a tag for each word, as token-classification reads them."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence

import pandas as pd

from evals.tags import Span, tags_of


def tagged(rows: pd.DataFrame, tokens: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Columns id, split, tokens, tags (BIO).

    rows: id, split and label, JSON of [first word, word after the last, type]; tokens: the words of each id.

    >>> rows = pd.DataFrame([("a", "train", '[[0, 1, "PER"]]')], columns=["id", "split", "label"])
    >>> tagged(rows, {"a": ["Ann", "sang"]})["tags"].tolist()
    [['B-PER', 'O']]
    """
    found = []
    for identity, split, label in zip(rows["id"], rows["split"], rows["label"], strict=True):
        words = list(tokens[identity])
        spans = [Span(start, end, name) for start, end, name in json.loads(label)] if label else []
        found.append((identity, split, words, tags_of(spans, len(words))))
    return pd.DataFrame(found, columns=["id", "split", "tokens", "tags"])


def tagged_jsonl(rows: pd.DataFrame) -> bytes:
    """One JSON object a sentence.

    >>> tagged_jsonl(pd.DataFrame([("a", "train", ["Ann"], ["B-PER"])], columns=["id", "split", "tokens", "tags"]))
    b'{"id": "a", "split": "train", "tokens": ["Ann"], "tags": ["B-PER"]}\\n'
    """
    lines = [json.dumps(row, ensure_ascii=False) for row in rows.to_dict("records")]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def tagged_conll(rows: pd.DataFrame) -> bytes:
    """A ZIP with a file a split, a word and its tag on each line, a blank line after each sentence."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as folder:
        for number, (split, part) in enumerate(rows.groupby("split", sort=False)):
            blocks = [
                "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True))
                for words, tags in zip(part["tokens"], part["tags"], strict=True)
            ]
            name = str(split) if split in ("train", "validation", "test") else f"split-{number}"
            folder.writestr(f"{name}.conll", "\n".join(blocks))
    return buffer.getvalue()
