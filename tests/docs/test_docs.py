"""Docs are tests: every command in them is run, every example executed, every reference page is fresh.

The commands run in reading order in one folder, on the store that a real `runner demo` fills.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.stand_ins import ENVIRONMENT, write_data, write_models

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/tutorial.md",
    ROOT / "docs/recipes.md",
    ROOT / "docs/profile.md",
    ROOT / "docs/queue.md",
    ROOT / "docs/recovery.md",
    ROOT / "docs/rescue.md",
    ROOT / "docs/sweeps.md",
    ROOT / "docs/triage.md",
    ROOT / "docs/publish.md",
    ROOT / "docs/merge.md",
    ROOT / "docs/methods.md",
]
BIN = Path(sys.executable).parent
WARM = ROOT / "tests/docs/warm_runner.py"

# Not run here, each with its reason.
NOT_RUN = {
    "make demo": "`runner demo` is what it does after setting up",
    "make test": "this is it",
    "runner push mood --repo me/mood --private": "tests/runner/publish/test_push.py pushes to a stand-in for the hub",
    "TWEETEVAL=data/tweeteval runner train recipes/tweets-": "test_every_recipe_runs_a_few_steps trains them",
    "runner merge tweets-emotion": "the same test merges them",
    "runner export both-tweets-emotion": "tests/runner/merge/test_merge_tasks.py exports such a run",
    "runner dashboard": "a server that does not end: the browser tests start it",
}


def blocks(page: Path, kind: str) -> list[str]:
    """The fenced blocks of one kind, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    return [line for block in blocks(page, "console") for line in block.splitlines() if line and line[0] != "#"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as a reader would have it: the recipes, tiny stand-ins for the data sets, and the demo's store."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    (folder / "docs").symlink_to(ROOT / "docs")
    write_data(folder / "data")
    write_models(folder / "models")
    tutorial = ROOT / "docs/tutorial.md"
    (folder / "mood.csv").write_text(blocks(tutorial, "csv")[0])
    (folder / "mood.toml").write_text(blocks(tutorial, "toml")[0])
    (folder / "mood-sweep.toml").write_text(blocks(ROOT / "docs/sweeps.md", "toml")[0])
    (folder / "policy.toml").write_text(blocks(ROOT / "docs/triage.md", "toml")[0])
    result = run("runner demo", folder)
    assert result.returncode == 0, result.stderr
    assert "flipped" in result.stdout
    with warm_runner(folder / "bin"):
        yield folder


@contextmanager
def warm_runner(folder: Path) -> Iterator[None]:
    """`runner` in this folder: what it needs is loaded once for all commands."""
    with tempfile.TemporaryDirectory() as short:  # a socket's path has little room
        address = Path(short) / "runner"
        command = [sys.executable, WARM, "serve", address]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as server:
            assert server.stdout is not None
            assert server.stdin is not None
            assert server.stdout.readline() == "ready\n"
            folder.mkdir()
            script = f'#!/bin/sh\nexec {sys.executable} -IS {WARM} {address} "$@"\n'
            (folder / "runner").write_text(script)
            (folder / "runner").chmod(0o755)
            yield
            server.stdin.close()


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "bin"), str(BIN), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    environment.pop("ASSAY_STORE", None)
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def test_there_is_something_to_test() -> None:
    assert sum(len(commands(page)) for page in PAGES) >= 20


@pytest.mark.timeout(1500)
def test_every_command_in_the_docs_works(folder: Path) -> None:
    failures = []
    for page in PAGES:
        for command in commands(page):
            if any(command.startswith(start) for start in NOT_RUN) or command.startswith("runner demo"):
                continue
            result = run(command, folder)
            if result.returncode != 0:
                failures.append(f"{page.name}: {command}\n{result.stderr[-800:]}")
    assert not failures, "\n\n".join(failures)


def test_every_python_example_in_the_docs_works(folder: Path) -> None:
    examples = blocks(ROOT / "docs/recording.md", "python")
    assert len(examples) == 2
    for i, example in enumerate(examples):
        (folder / f"example{i}.py").write_text(example)
        result = run(f"python example{i}.py", folder)
        assert result.returncode == 0, result.stderr
        run_id = result.stdout.strip().splitlines()[-1]
        shown = run(f"runner show {run_id} --json --store scripts.db", folder)
        assert '"status": "finished"' in shown.stdout
        assert '"train/loss"' in shown.stdout


def test_every_recipe_is_named_in_the_docs_and_good(folder: Path) -> None:
    recipes = sorted((ROOT / "recipes").glob("**/*.toml"))
    assert len(recipes) >= 15
    text = (ROOT / "docs/recipes.md").read_text()
    for recipe in recipes:
        assert f"recipes/{recipe.name}" in text
        result = run(f"{ENVIRONMENT} runner recipe check recipes/{recipe.name}", folder)
        assert result.returncode == 0, result.stderr


def test_every_recipe_runs_a_few_steps(folder: Path) -> None:
    """All in one process, which loads torch once."""
    (folder / "all_recipes.py").write_text(
        """
import sys
from runner.cli import run

small = ["--set", "training.max_steps=2", "--set", "model.max_length=16", "--set", "triage.after_training=false"]
for recipe in sys.argv[1:]:
    print(recipe, flush=True)
    if run(["train", recipe, *small, "--quiet", "--store", "recipes.db"]).code != 0:
        sys.exit(recipe)
both = ["tweets-emotion", "tweets-irony", "--each", "--name", "both"]
sys.exit(run(["merge", *both, "--quiet", "--store", "recipes.db"]).code)
"""
    )
    names = " ".join(f"recipes/{path.name}" for path in sorted((ROOT / "recipes").glob("*.toml")))
    result = run(f"{ENVIRONMENT} python all_recipes.py {names}", folder)
    assert result.returncode == 0, f"{result.stdout[-300:]}\n{result.stderr[-1500:]}"
    assert result.stdout.split() == names.split()
    listed = json.loads(run("runner ls --json --store recipes.db", folder).stdout)
    assert [row["status"] for row in listed] == ["finished"] * (len(names.split()) + 2)
    assert {"both-tweets-emotion", "both-tweets-irony"} < {row["name"] for row in listed}


def test_the_reference_is_fresh() -> None:
    result = run(f"python {ROOT / 'docs/make_reference.py'} --check", ROOT)
    assert result.returncode == 0, result.stdout


def test_every_command_is_in_the_reference() -> None:
    from runner.cli import COMMANDS

    text = (ROOT / "docs/reference/cli.md").read_text()
    assert all(f"## runner {name}\n" in text for name, _, _ in COMMANDS)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    n_links = 0
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith(("http:", "https:", "mailto:")):
                n_links += 1
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
    assert n_links >= 5
