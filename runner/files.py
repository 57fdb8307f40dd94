"""Folders of files that must be what was written: their hashes, and what is wrong with them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def file_hashes(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of every file, in name order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_hash(path) for path in files}


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_files(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Which files are not what `file_hashes` saw, a sentence each; files that it did not see do not matter."""
    wrong = []
    for name, expected in hashes.items():
        path = folder / name
        try:
            if file_hash(path) != expected:
                wrong.append(f"{path} was altered")
        except FileNotFoundError:
            wrong.append(f"{path} is missing")
        except OSError as error:
            wrong.append(f"{path} cannot be read ({error.strerror})")
    return wrong


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
