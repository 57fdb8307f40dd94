"""Where a run came from: code, packages, machine, device, seeds, command. And how two of those differ."""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from runner.git import read_git
from runner.system import Gpus

SCHEMA_VERSION = 1

ENVIRONMENT = (
    "ACCELERATE_USE_FSDP",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "HF_DATASETS_OFFLINE",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "LANG",
    "LC_ALL",
    "LOCAL_RANK",
    "MKL_NUM_THREADS",
    "NCCL_DEBUG",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RANK",
    "TOKENIZERS_PARALLELISM",
    "TORCHDYNAMO_DISABLE",
    "TRANSFORMERS_OFFLINE",
    "TZ",
    "WORLD_SIZE",
)
"""The environment variables that can change a result and never hold a secret. No others are read."""

MASK = "***"
"""Stands in a kept command for a value that looks like a secret."""


class Difference(NamedTuple):
    """One thing that two provenances do not share; None: the side has it not, or does not know it."""

    path: str
    a: Any
    b: Any


def collect_provenance(
    folder: Path,
    *,
    command: Sequence[str],
    seeds: Mapping[str, int],
    determinism: Mapping[str, object],
    include_torch: bool = True,
) -> dict[str, Any]:
    """Return what is needed to say where a run came from, as values that JSON can hold.

    Args:
        folder: the code's folder; the git repository around it is described.
        command: what was typed, word by word; values that look like secrets are masked.
        seeds: every seed by its name.
        determinism: flags that make results repeatable; what JSON can't hold is kept as its text.
        include_torch: False leaves `device` unknown (None) and does not import torch.

    Returns:
        Keys `schema`, `git` (see `runner.git.read_git`; None outside a repository), `packages` (normalised
        name → version), `python`, `platform`, `device`, `environment` (only names of `ENVIRONMENT`), `command`,
        `seeds`, `determinism`. Unknown values are None. Nothing raises for want of git, torch or a GPU.
    """
    return {
        "schema": SCHEMA_VERSION,
        "git": read_git(folder),
        "packages": dict(_packages()),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "executable": sys.executable or None,
        },
        "platform": _platform(),
        "device": _device() if include_torch else None,
        "environment": {name: mask_value(os.environ[name]) for name in ENVIRONMENT if name in os.environ},
        "command": mask_command(command),
        "seeds": {name: int(seed) for name, seed in seeds.items()},
        "determinism": {name: _jsonable(value) for name, value in determinism.items()},
    }


def diff_provenance(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two provenances, sorted by path; [] when nothing does.

    Packages and untracked files compare by name, the patch by its hash.

    >>> diff_provenance({"packages": {"torch": "2.12", "rich": "15"}}, {"packages": {"torch": "2.13", "rich": "15"}})
    [Difference(path='packages.torch', a='2.12', b='2.13')]
    """
    flat_a, flat_b = dict(_flatten(_comparable(a))), dict(_flatten(_comparable(b)))
    return [
        Difference(".".join(path), flat_a.get(path), flat_b.get(path))
        for path in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(path) != flat_b.get(path)
    ]


def mask_command(command: Sequence[str]) -> list[str]:
    """Return `command` with every value masked that its flag's name or its own shape marks as a secret.

    >>> mask_command(["train", "--set", "data.hub_token=abc", "--api-key", "abc", "--max-tokens", "9"])
    ['train', '--set', 'data.hub_token=***', '--api-key', '***', '--max-tokens', '9']
    """
    masked: list[str] = []
    is_secret_next = False
    for word in command:
        name, equals, value = word.partition("=")
        if is_secret_next and not word.startswith("--"):
            masked.append(MASK)
            is_secret_next = False
        elif equals:
            masked.append(f"{name}={MASK if value and _names_secret(name) else mask_value(value)}")
            is_secret_next = False
        else:
            masked.append(mask_value(word))
            is_secret_next = word.startswith("-") and _names_secret(word)
    return masked


def mask_value(value: str) -> str:
    """Return `value` with well-known kinds of tokens, and passwords in addresses, masked.

    >>> mask_value("https://me:pw@host/repo")
    'https://***@host/repo'
    """
    value = _TOKEN.sub(MASK, value)
    return _URL_USER.sub(rf"\1{MASK}@", value)


# Prefixes as their issuers publish them: Hugging Face, OpenAI/Anthropic, GitHub, GitLab, AWS, Slack, Google; JWT.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{8,}"
    r"|github_pat_\w{8,}|glpat-[\w-]{8,}|A(?:KIA|SIA)[A-Z0-9]{12,}|xox[abeoprs]-[\w-]{8,}|AIza[\w-]{20,}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)|(?<=Bearer )\S+"
)
_URL_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
_SECRET_WORDS = {"password", "passwd", "passphrase", "pwd", "secret", "credential", "credentials", "apikey"}
_KEY_OWNERS = {"api", "access", "private", "secret"}
_SPECIAL_TOKENS = {"pad", "eos", "bos", "unk", "sep", "cls", "mask", "per", "special", "image"}


def _names_secret(name: str) -> bool:
    """Whether a flag or key is called like one that holds a secret (`hf_token` is, `pad_token` isn't)."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    return (
        not _SECRET_WORDS.isdisjoint(words)
        or (last == "token" and before not in _SPECIAL_TOKENS)
        or (last == "key" and before in _KEY_OWNERS)
    )


@functools.cache  # 0.2 s; and what is imported stays as it is, whatever is installed meanwhile
def _packages() -> dict[str, str]:
    """Return normalised distribution names with their versions; the first on the path wins, as for imports."""
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        metadata = distribution.metadata  # parsed anew at every access
        name, version = metadata["Name"], metadata["Version"]
        if name and version:  # a half-removed distribution has neither
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(versions.items()))


def _platform() -> dict[str, Any]:
    return {
        "system": platform.system() or None,
        "release": platform.release() or None,
        "machine": platform.machine() or None,
        "cpu": _cpu_model(),
        "cores": psutil.cpu_count(logical=True),
        "physical_cores": psutil.cpu_count(logical=False),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_bytes": psutil.virtual_memory().total,
    }


def _cpu_model() -> str | None:
    try:
        if sys.platform == "darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "Hardware") and value.strip():
                return value.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return platform.processor() or None


def _device() -> dict[str, Any] | None:
    """Return the accelerator that torch would use, or the CPU; None without torch."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    device: dict[str, Any] = dict.fromkeys(
        ("type", "name", "count", "memory_bytes", "driver", "cuda", "compute_capability", "threads")
    )
    device.update(type="cpu", name=_cpu_model(), count=1, threads=torch.get_num_threads())
    if torch.cuda.is_available():
        current = torch.cuda.current_device()
        properties = torch.cuda.get_device_properties(current)
        gpus = Gpus((current,))
        device.update(
            type="cuda",
            name=properties.name,
            count=torch.cuda.device_count(),
            memory_bytes=properties.total_memory,
            driver=gpus.driver(),
            cuda=torch.version.cuda,
            compute_capability=f"{properties.major}.{properties.minor}",
        )
        gpus.close()
    elif torch.backends.mps.is_available():
        device.update(type="mps", name=_cpu_model())
    return device


def _jsonable(value: object) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): _jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    return str(value)


def _comparable(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Replace what would drown a comparison: the patch's text by its hash, a list of files by a mapping."""
    result = dict(provenance)
    git = result.get("git")
    if isinstance(git, Mapping):
        compared = {name: value for name, value in git.items() if name not in ("patch", "patch_truncated")}
        if compared.get("patch_sha256") is None and git.get("patch") is not None:
            compared["patch"] = git["patch"]  # never hashed to its end: the text is all there is
        compared["untracked"] = {
            file["path"]: file.get("sha256") or file.get("size_bytes") for file in git.get("untracked") or ()
        }
        result["git"] = compared
    return result


def _flatten(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flatten(inner, (*path, str(name)))
        else:
            yield (*path, str(name)), inner
