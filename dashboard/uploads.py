"""Files that came through the browser: kept beside the store under a name made of their content."""

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from store import Store


class Upload(NamedTuple):
    """A file that is kept. name: a name for the dataset, from the file's own."""

    path: Path
    name: str
    size_bytes: int


def keep_upload(store: Store, file_name: str, content: bytes | memoryview) -> Upload:
    """Keep it in `<store>-files/uploads/<hash>.<suffix>`, whole or not at all; the same content is kept once.

    Raises OSError, such as for a full disk.
    """
    suffix = Path(file_name).suffix.lower()
    folder = store.files / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.blake2b(content, digest_size=16).hexdigest()}{suffix}"
    if not path.exists() or path.stat().st_size != len(content):
        handle, beside = tempfile.mkstemp(dir=folder, prefix=".", suffix=suffix)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    return Upload(path, dataset_name(file_name), len(content))


def dataset_name(file_name: str) -> str:
    """What to call the data in the store, of letters that a recipe takes.

    >>> dataset_name("My Tweets (final).csv"), dataset_name("…")
    ('my-tweets-final', 'data')
    """
    stem = Path(file_name).stem.lower()
    return re.sub(r"[^a-z0-9._]+", "-", stem).strip("-.")[:100] or "data"
