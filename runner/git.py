"""The state of the git repository around a folder, read without changing it."""

import codecs
import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GIT_SECONDS = 5.0
"""No question to git takes longer."""

MAX_PATCH_BYTES = 1_000_000
"""A larger patch is kept up to here; its hash is of the whole."""

MAX_HASHED_BYTES = 1_000_000
"""Larger untracked files are listed without a hash."""

MAX_UNTRACKED = 200
"""More untracked files are counted, not listed."""

# Set inside hooks and by wrappers, they would show us another repository than the folder's.
_REDIRECTING = {
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIFF_OPTS",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_WORK_TREE",
}


def read_git(folder: Path) -> dict[str, Any] | None:
    """Return the state of the repository around `folder`; None outside a repository and without git.

    Returns:
        root: the work tree's folder.
        sha: of HEAD; None before the first commit.
        branch: None when HEAD is detached.
        is_dirty: whether tracked files differ from HEAD (untracked files do not count: a store may be one).
        patch: the difference from HEAD, staged and unstaged, for `git apply`, up to `MAX_PATCH_BYTES`.
        patch_encoding: "utf-8", or "latin-1" for a patch that isn't; encode with it to get git's bytes back.
        patch_truncated: whether `patch` stops before its end.
        patch_sha256: of the whole patch; None when git did not finish in time.
        untracked: up to `MAX_UNTRACKED` records (path from the root, size_bytes, sha256), ignored files left
            out; None for what could not be read. Bytes of a path that are not UTF-8 are written `\\xNN`.
        n_untracked: how many there are.
    """
    root_bytes = _ask(folder, "rev-parse", "--show-toplevel")
    if not root_bytes:
        return None
    root = Path(os.fsdecode(root_bytes.removesuffix(b"\n")))
    sha = _line(_ask(root, "rev-parse", "--verify", "--quiet", "HEAD"))
    untracked = _untracked(root)
    return {
        "root": _text(os.fsencode(root)),
        "sha": sha,
        "branch": _line(_ask(root, "symbolic-ref", "--short", "--quiet", "HEAD")),
        **_patch(root, sha),
        "untracked": None if untracked is None else [_file(root, path) for path in untracked[:MAX_UNTRACKED]],
        "n_untracked": None if untracked is None else len(untracked),
    }


def _patch(root: Path, sha: str | None) -> dict[str, Any]:
    """Return the fields of the patch. Before the first commit it is taken against the empty tree."""
    fields: dict[str, Any] = dict.fromkeys(("is_dirty", "patch", "patch_encoding", "patch_truncated", "patch_sha256"))
    base = sha or _line(_ask(root, "hash-object", "-t", "tree", os.devnull))
    if base is None:
        return fields
    # The user's settings may colour, rename or rewrite a diff so that it no longer applies.
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--src-prefix=a/", "--dst-prefix=b/")
    digest, kept, n_bytes = hashlib.sha256(), bytearray(), 0
    command = _command("diff", "--binary", *plain, base, "--")
    with (
        _index_copy(root) as index,
        subprocess.Popen(  # read as it comes: a patch may be larger than memory
            command,
            cwd=root,
            env={**_environment(), "GIT_INDEX_FILE": index},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as git,
    ):
        assert git.stdout is not None, "asked for by PIPE"
        timer = threading.Timer(GIT_SECONDS, git.kill)
        timer.start()
        try:
            while chunk := git.stdout.read(1 << 16):
                digest.update(chunk)
                n_bytes += len(chunk)
                kept += chunk[: MAX_PATCH_BYTES - len(kept)]
        finally:
            timer.cancel()
    is_whole = git.returncode == 0
    if not is_whole and not n_bytes:
        return fields
    is_truncated = n_bytes > len(kept) or not is_whole
    text, encoding = _decode(bytes(kept), is_truncated)
    return {
        "is_dirty": n_bytes > 0,
        "patch": text,
        "patch_encoding": encoding,
        "patch_truncated": is_truncated,
        "patch_sha256": digest.hexdigest() if is_whole else None,
    }


@contextlib.contextmanager
def _index_copy(root: Path) -> Iterator[str]:
    """Give a copy of the index: a diff refreshes the index it reads, which could fail a commit at that moment."""
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "index")
        index = _ask(root, "rev-parse", "--git-path", "index")
        with contextlib.suppress(OSError):  # there is none before the first `git add`
            shutil.copy2(os.path.join(root, os.fsdecode((index or b"").removesuffix(b"\n"))), copy)
        yield copy


def _decode(patch: bytes, is_truncated: bool) -> tuple[str, str]:
    """Return (text, encoding); a cut may go through a character, which is then left out."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(patch, final=not is_truncated), "utf-8"
    except UnicodeDecodeError:
        return patch.decode("latin-1"), "latin-1"


def _untracked(root: Path) -> list[bytes] | None:
    listed = _ask(root, "ls-files", "--others", "--exclude-standard", "-z")
    return None if listed is None else sorted(path for path in listed.split(b"\0") if path)


def _file(root: Path, path: bytes) -> dict[str, Any]:
    """Describe an untracked file. Links are not followed; only regular files have a size and a hash."""
    size: int | None = None
    sha256: str | None = None
    with contextlib.suppress(OSError):  # gone, or not ours to read
        full = os.path.join(os.fsencode(root), path)
        status = os.lstat(full)
        if stat.S_ISREG(status.st_mode):
            size = status.st_size
            if size <= MAX_HASHED_BYTES:
                with open(full, "rb") as file:
                    sha256 = hashlib.sha256(file.read(MAX_HASHED_BYTES + 1)).hexdigest()
    return {"path": _text(path), "size_bytes": size, "sha256": sha256}


def _ask(folder: Path, *arguments: str) -> bytes | None:
    """Return what git answers; None when it has no answer, is not there or takes too long."""
    try:
        answer = subprocess.run(
            _command(*arguments),
            check=False,
            cwd=folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None


def _command(*arguments: str) -> list[str]:
    # A file system monitor would be started in the background, by a command that the repository names.
    return ["git", "-c", "core.fsmonitor=false", *arguments]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _REDIRECTING}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


def _line(answer: bytes | None) -> str | None:
    return _text(answer.strip()) or None if answer is not None else None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
