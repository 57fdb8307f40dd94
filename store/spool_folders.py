"""Where spool files are: beside the store, else in `ASSAY_SPOOL` or the temporary folder."""

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from store.connection import Store

_NAME = re.compile(r"[0-9A-Z]{26}-[0-9A-Z]{26}\.spool")


def list_folders(store: Store) -> list[Path]:
    """The folders for this store's spool files, whether they are there or not, the best first."""
    named = os.environ.get("ASSAY_SPOOL")
    return [store.files / "spool", Path(named).expanduser().absolute() if named else _temporary()]


def make_folder(folder: Path) -> None:
    """Make it, if it is not there. Raises OSError where that fails or somebody else has made it."""
    is_ours = folder == _temporary()  # everybody may write to its parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700 if is_ours else 0o777)
    if is_ours and not _is_private(folder):
        raise PermissionError(f"{folder} belongs to somebody else")


def iter_paths(store: Store) -> Iterator[Path]:
    """All spool files in these folders, a run's in the order of their making. Those of other stores are among them."""
    found = []
    for folder in list_folders(store):
        if folder.is_dir() and (folder != _temporary() or _is_private(folder)):
            found += [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    yield from sorted(found, key=lambda path: path.name)


def run_id(path: Path) -> str:
    """The id of the run whose rows wait in this file."""
    return path.name.partition("-")[0]


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"assay-spool-{os.getuid()}"


def _is_private(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
