"""Provenance: the repository as it is, the machine, and nothing secret."""

import doctest
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys

import pytest

import runner.git
import runner.provenance
from runner.git import read_git
from runner.provenance import (
    Difference,
    collect_provenance,
    diff_provenance,
    mask_command,
    mask_value,
)


def git(folder, *arguments):
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True).stdout


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit: `code.py` with two lines."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "code.py").write_text("one\ntwo\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_doctests():
    result = doctest.testmod(runner.provenance)
    assert (result.failed, result.attempted >= 3) == (0, True)


def test_a_clean_repository(repository):
    inner = repository / "deep" / "er"
    inner.mkdir(parents=True)
    state = read_git(inner)
    assert state == {
        "root": str(repository),
        "sha": git(repository, "rev-parse", "HEAD").decode().strip(),
        "branch": "trunk",
        "is_dirty": False,
        "patch": "",
        "patch_encoding": "utf-8",
        "patch_truncated": False,
        "patch_sha256": hashlib.sha256(b"").hexdigest(),
        "untracked": [],
        "n_untracked": 0,
    }


def test_a_touched_file_is_not_a_change(repository):
    os.utime(repository / "code.py", (1, 1))
    index = (repository / ".git" / "index").read_bytes()
    assert read_git(repository)["is_dirty"] is False
    assert (repository / ".git" / "index").read_bytes() == index  # read, not refreshed


def test_the_patch_has_staged_and_unstaged_changes_and_applies(repository, tmp_path):
    (repository / "code.py").write_text("one\nstaged\n")
    (repository / "new.bin").write_bytes(bytes(range(256)))
    git(repository, "add", ".")
    (repository / "code.py").write_text("one\nstaged\nunstaged\n")
    for name, value in (("color.ui", "always"), ("diff.noprefix", "true"), ("diff.external", "/bin/false")):
        git(repository, "config", name, value)
    state = read_git(repository)
    assert state["is_dirty"] is True
    patch = state["patch"].encode(state["patch_encoding"])
    assert hashlib.sha256(patch).hexdigest() == state["patch_sha256"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (tmp_path / "patch").write_bytes(patch)
    git(clone, "apply", str(tmp_path / "patch"))
    assert (clone / "code.py").read_text() == "one\nstaged\nunstaged\n"
    assert (clone / "new.bin").read_bytes() == bytes(range(256))


def test_a_patch_that_is_not_utf8_comes_back_byte_by_byte(repository):
    (repository / "code.py").write_bytes("one\nzwölf\n".encode("latin-1"))
    state = read_git(repository)
    assert state["patch_encoding"] == "latin-1"
    patch = state["patch"].encode("latin-1")
    assert "zwölf".encode("latin-1") in patch
    assert hashlib.sha256(patch).hexdigest() == state["patch_sha256"]
    json.dumps(state)


def test_a_large_patch_is_cut_and_hashed_whole(repository, monkeypatch):
    (repository / "code.py").write_text("ä" * 5_000)
    whole = read_git(repository)
    n_bytes = len(whole["patch"].encode())
    for limit in (n_bytes - 101, n_bytes - 102):  # one of the two goes through a character
        monkeypatch.setattr(runner.git, "MAX_PATCH_BYTES", limit)
        cut = read_git(repository)
        assert cut["patch_truncated"] is True
        assert cut["patch_encoding"] == "utf-8"
        assert limit - 1 <= len(cut["patch"].encode()) <= limit
        assert whole["patch"].startswith(cut["patch"])
        assert cut["patch_sha256"] == whole["patch_sha256"]
    monkeypatch.setattr(runner.git, "MAX_PATCH_BYTES", n_bytes)
    assert read_git(repository) == whole


def test_untracked_files_of_every_kind(repository, monkeypatch):
    monkeypatch.setattr(runner.git, "MAX_HASHED_BYTES", 10)
    (repository / ".gitignore").write_text("*.db\n")
    (repository / "store.db").write_text("ignored")
    names = ["a b.txt", 'quo"te', "line\nend", "-option", "ünï"]
    for name in names:
        (repository / name).write_text("0123456789")
    (repository / "large").write_text("0123456789x")
    (repository / "link").symlink_to("/etc/passwd")
    bad = os.path.join(os.fsencode(repository), b"bad\xff")
    try:
        with open(bad, "wb"):
            pass
        has_bad = True
    except OSError:  # a file system that takes UTF-8 only
        has_bad = False
    state = read_git(repository)
    files = {file["path"]: (file["size_bytes"], file["sha256"]) for file in state["untracked"]}
    ten = (10, hashlib.sha256(b"0123456789").hexdigest())
    assert {name: files.pop(name) for name in names} == dict.fromkeys(names, ten)
    assert files.pop("large") == (11, None)
    assert files.pop("link") == (None, None)
    assert files.pop(".gitignore")[0] == 5
    if has_bad:
        assert files.pop("bad\\xff") == (0, hashlib.sha256(b"").hexdigest())
    assert files == {}
    assert state["is_dirty"] is False
    json.dumps(state, ensure_ascii=False).encode()

    monkeypatch.setattr(runner.git, "MAX_UNTRACKED", 2)
    capped = read_git(repository)
    assert (len(capped["untracked"]), capped["n_untracked"]) == (2, state["n_untracked"])


def test_a_repository_before_its_first_commit(tmp_path):
    git(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "staged").write_text("hello\n")
    git(tmp_path, "add", ".")
    (tmp_path / "other").write_text("x")
    state = read_git(tmp_path)
    assert (state["sha"], state["branch"], state["is_dirty"]) == (None, "trunk", True)
    assert "+hello" in state["patch"]
    assert [file["path"] for file in state["untracked"]] == ["other"]


def test_a_detached_head_has_no_branch(repository):
    git(repository, "checkout", "-q", "--detach")
    state = read_git(repository)
    assert state["branch"] is None
    assert len(state["sha"]) == 40


def test_no_repository_no_git_no_folder(tmp_path, repository, monkeypatch):
    assert read_git(tmp_path) is None
    assert read_git(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_git(repository) is None


def test_a_surrounding_git_command_does_not_show_another_repository(repository, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert read_git(repository)["branch"] == "trunk"


def test_a_git_that_hangs_is_given_up(repository, tmp_path, monkeypatch):
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ncase "$*" in *diff*) echo part; exec sleep 60;; esac\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(runner.git, "GIT_SECONDS", 0.5)
    state = read_git(repository)
    assert state["sha"] is not None
    assert (state["is_dirty"], state["patch"], state["patch_truncated"], state["patch_sha256"]) == (
        True,
        "part\n",
        True,
        None,
    )
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    assert read_git(repository) is None


def collect(folder, **changes):
    given = {"command": ["runner", "train"], "seeds": {"seed": 1}, "determinism": {}, "include_torch": False}
    return collect_provenance(folder, **{**given, **changes})


def test_collect_is_json_and_complete(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:pw@mirror.example/x")
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a" * 30)
    monkeypatch.setenv("MY_SETTING", "private")
    got = collect(
        tmp_path,
        command=["runner", "train", "r.toml", "--token", "hunter2"],
        seeds={"seed": 1, "split": 2},
        determinism={"deterministic": True, "folder": tmp_path, "flags": ("a", 1, None)},
        include_torch=True,
    )
    text = json.dumps(got, allow_nan=False)
    assert json.loads(text) == got
    assert "hunter2" not in text
    assert "private" not in text
    assert "a" * 30 not in text
    assert got["git"] is None
    assert got["packages"]["psutil"] == importlib.metadata.version("psutil")
    assert list(got["packages"]) == sorted(got["packages"])
    assert "typing-extensions" in got["packages"]
    assert got["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert got["platform"]["cores"] >= got["platform"]["usable_cores"] >= 1
    assert got["platform"]["memory_bytes"] > 100_000_000
    assert got["environment"]["OMP_NUM_THREADS"] == "3"
    assert got["environment"]["HF_ENDPOINT"] == "https://***@mirror.example/x"
    assert not {"HF_TOKEN", "MY_SETTING", "PATH"} & got["environment"].keys()
    assert got["command"] == ["runner", "train", "r.toml", "--token", "***"]
    assert got["seeds"] == {"seed": 1, "split": 2}
    assert got["determinism"] == {
        "deterministic": True,
        "folder": str(tmp_path),
        "flags": ["a", 1, None],
    }
    import torch

    if torch.cuda.is_available():
        assert got["device"]["type"] == "cuda"
        assert got["device"]["memory_bytes"] > 1_000_000_000
        assert got["device"]["driver"]
    else:
        assert got["device"]["type"] in ("cpu", "mps")
        assert got["device"]["threads"] == torch.get_num_threads()
        assert got["device"]["driver"] is None


def test_torch_is_left_alone_unless_wanted():
    code = (
        "import sys; from pathlib import Path; from runner.provenance import collect_provenance;"
        "got = collect_provenance(Path('.'), command=[], seeds={}, determinism={}, include_torch=False);"
        "sys.exit('torch' in sys.modules or got['device'] is not None)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        (["--token", "abc"], ["--token", "***"]),
        (["--hf-token=abc"], ["--hf-token=***"]),
        (["HF_TOKEN=abc"], ["HF_TOKEN=***"]),
        (["--set", "hub.accessToken=abc"], ["--set", "hub.accessToken=***"]),
        (["--password", "abc", "--api_key", "x"], ["--password", "***", "--api_key", "***"]),
        (["--db-password-file=x"], ["--db-password-file=***"]),
        (["--token", "--force"], ["--token", "--force"]),
        (["--token="], ["--token="]),
        (["hf_abcdefghij"], ["***"]),
        (["--set", "x=ghp_abcdefghij0123"], ["--set", "x=***"]),
        (["postgres://me:pw@host/db"], ["postgres://***@host/db"]),
        (["Authorization: Bearer abc.def"], ["Authorization: Bearer ***"]),
        (["--max-tokens", "9"], ["--max-tokens", "9"]),
        (["model.pad_token=<pad>"], ["model.pad_token=<pad>"]),
        (["--tokenizer", "gpt2"], ["--tokenizer", "gpt2"]),
        (["sort_key=label", "monkey=1"], ["sort_key=label", "monkey=1"]),
        (["training.learning_rate=1e-4", "a@b.example"], ["training.learning_rate=1e-4", "a@b.example"]),
        (["hub:mteb/sk-learn", "task-sk-abc"], ["hub:mteb/sk-learn", "task-sk-abc"]),
    ],
)
def test_mask_command(command, masked):
    assert mask_command(command) == masked


def test_mask_value_leaves_ordinary_text():
    assert mask_value("0,1") == "0,1"
    assert mask_value("sk-" + "a1" * 10) == "***"


def test_nothing_differs_from_itself(repository):
    (repository / "code.py").write_text("changed")
    got = collect(repository)
    assert diff_provenance(got, json.loads(json.dumps(got))) == []


def test_diff_names_what_differs_and_only_that(repository):
    a = collect(repository)
    (repository / "code.py").write_text("changed")
    (repository / "notes.txt").write_text("x")
    b = collect(repository, seeds={"seed": 2}, command=["runner", "train", "--force"])
    b["packages"] = {**a["packages"], "psutil": "0.1", "added": "1"}
    b["packages"].pop("rich")
    assert diff_provenance(a, b) == [
        Difference("command", ["runner", "train"], ["runner", "train", "--force"]),
        Difference("git.is_dirty", False, True),
        Difference("git.n_untracked", 0, 1),
        Difference("git.patch_sha256", a["git"]["patch_sha256"], b["git"]["patch_sha256"]),
        Difference("git.untracked.notes.txt", None, hashlib.sha256(b"x").hexdigest()),
        Difference("packages.added", None, "1"),
        Difference("packages.psutil", a["packages"]["psutil"], "0.1"),
        Difference("packages.rich", a["packages"]["rich"], None),
        Difference("seeds.seed", 1, 2),
    ]


def test_diff_against_no_repository_lists_what_the_other_has(repository):
    a, b = collect(repository), {**collect(repository), "git": None}
    paths = [difference.path for difference in diff_provenance(a, b)]
    assert "git.sha" in paths
    assert "git" not in paths
    assert "git.patch" not in paths


def test_patches_that_were_never_hashed_compare_by_their_text():
    a = {"git": {"sha": "1", "patch": "part", "patch_sha256": None, "untracked": None}}
    b = {"git": {"sha": "1", "patch": "other", "patch_sha256": None, "untracked": None}}
    assert diff_provenance(a, b) == [Difference("git.patch", "part", "other")]
