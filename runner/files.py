"""Files that must be what was written: their hashes, what is wrong with them, and whether there is room for them."""

import errno
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


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed because there is no room, on the disk or in a quota.

    Libraries written in Rust (safetensors, tokenizers) raise errors of their own, which have the number in their text.
    """
    full = (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in full
    return any(f"(os error {number})" in str(error) for number in full)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
