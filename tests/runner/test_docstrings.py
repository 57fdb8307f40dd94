import doctest
import hashlib
import os
import string
import subprocess
import sys
from collections import Counter
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import runner.docstrings
from runner.docstrings import (
    TOPICS,
    Docstring,
    DocstringData,
    DocstringsMissing,
    build_dataset,
    clean_text,
    docstring_dataset,
    module_docstrings,
    without_duplicates,
)

PACKAGE = '''"""Package."""
raise RuntimeError("imported")

class Thing:
    """Class."""
    def do(self):
        """Method."""
    def _do(self):
        """No."""

class _Hidden:
    """No."""
    def do(self):
        """No."""

async def go():
    """Coroutine."""
    def inner():
        """No."""
'''


@pytest.fixture(scope="module")
def data() -> DocstringData:
    return docstring_dataset()


def made_up(topic: str, n: int, library: str = "lib") -> list[Docstring]:
    words = [f"{a}{b}" for a in string.ascii_lowercase for b in string.ascii_lowercase]
    return [Docstring(f"{topic} sentence with the word {words[i]}", topic, library) for i in range(n)]


def test_doctests() -> None:
    result = doctest.testmod(runner.docstrings)
    assert (result.failed, result.attempted) == (0, 2)


def test_installed_packages_give_a_full_balanced_data_set(data: DocstringData) -> None:
    topics = "data frames, files, graphs, images and signals, machine learning, mathematics, networking"
    assert data.label_names == tuple(topics.split(", "))
    assert Counter(row.split for row in data.rows) == {"train": 2394, "validation": 399, "test": 602}
    assert set(Counter(row.true_label for row in data.rows).values()) == {485}
    assert {row.label for row in data.rows} == set(data.label_names)
    assert all(7 <= len(row.text.split()) <= 120 for row in data.rows)


def test_flips_are_recorded_exactly_and_only_in_training(data: DocstringData) -> None:
    flipped = [row for row in data.rows if row.label != row.true_label]
    assert (data.seed, data.noise, data.n_flipped, len(flipped)) == (13, 0.08, 192, 192)
    assert {row.split for row in flipped} == {"train"}
    assert {row.label for row in flipped} == set(data.label_names)


def test_no_text_occurs_twice_whatever_its_case_and_numbers(data: DocstringData) -> None:
    wordings = ["".join(c for c in row.text.casefold() if c.isascii() and c.isalpha()) for row in data.rows]
    assert len(set(wordings)) == len(wordings)


def test_no_text_names_its_library(data: DocstringData) -> None:
    words = {word.strip(".,;:()'\"").casefold() for row in data.rows for word in row.text.split()}
    assert words.isdisjoint({"numpy", "pandas", "scipy", "sklearn", "networkx", "pytorch", "aiohttp", "urllib3"})


def test_another_process_gives_the_same_rows_and_imports_none_of_the_packages(data: DocstringData) -> None:
    code = (
        "import sys, hashlib; from runner.docstrings import docstring_dataset;"
        "print(hashlib.sha256(repr(docstring_dataset()).encode()).hexdigest(),"
        " *{'pandas', 'torch', 'PIL', 'networkx'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == [hashlib.sha256(repr(data).encode()).hexdigest()]
    assert done.stderr == ""


def test_a_plain_installation_brings_every_module() -> None:
    """Else the rows depend on extras, or on a copy that another package carries along and puts on the path."""
    seen, waiting = set[tuple[str, str]](), {("assay", "")}  # names with each extra that is asked for
    while waiting:
        seen.add(asked := waiting.pop())
        for need in map(Requirement, distribution(asked[0]).requires or ()):
            if need.marker is None or need.marker.evaluate({"extra": asked[1]}):
                waiting |= {(need.name.lower(), extra) for extra in ("", *need.extras)} - seen
    plain = {name for name, _extra in seen}
    homes = packages_distributions()
    tops = {module.partition(".")[0] for modules in TOPICS.values() for module in modules}
    for top in sorted(tops - sys.stdlib_module_names):
        assert {name.lower() for name in homes.get(top, ())} & plain, f"{top} comes from {homes.get(top)}"


def test_another_seed_gives_other_rows() -> None:
    docstrings = made_up("a", 100) + made_up("b", 100)
    first, second = (build_dataset(docstrings, seed=seed, noise=0.1) for seed in (1, 2))
    assert first == build_dataset(docstrings, seed=1, noise=0.1)
    assert [row.text for row in first.rows] != [row.text for row in second.rows]


def test_small_topics_are_split_in_proportion_and_tiny_ones_left_out() -> None:
    docstrings = made_up("a", 85) + made_up("b", 51) + made_up("tiny", 49)
    data = build_dataset(docstrings, seed=0, noise=0.0)
    assert data.label_names == ("a", "b")
    assert data.n_flipped == 0
    counts = Counter((row.label, row.split) for row in data.rows)
    assert [counts["a", split] for split in ("train", "validation", "test")] == [60, 10, 15]
    assert [counts["b", split] for split in ("train", "validation", "test")] == [36, 6, 9]


def test_a_large_library_leaves_room_for_the_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.docstrings, "SIZES", {"train": 120, "validation": 20, "test": 30})
    large = made_up("a", 400, library="large")
    small = made_up("a", 30, library="small")
    data = build_dataset(large + small + made_up("b", 100), seed=0, noise=0.0)
    assert Counter(row.library for row in data.rows if row.label == "a") == {"large": 55, "small": 30}


def test_too_little_text_says_what_was_found_and_what_to_do() -> None:
    with pytest.raises(DocstringsMissing, match=r"at least 2 topics with 50 .* found a: 60, b: 49") as error:
        build_dataset(made_up("a", 60) + made_up("b", 49), seed=0, noise=0.0)
    assert "pip install" in str(error.value)
    with pytest.raises(DocstringsMissing, match="found none at all"):
        build_dataset([], seed=0, noise=0.0)


def test_bad_arguments_are_all_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"seed = -1: must be 0 or more; noise = 1\.0: must be .* \[0, 1\)"):
        build_dataset([], seed=-1, noise=1.0)


def test_duplicates_go_and_ambiguous_texts_go_altogether() -> None:
    once = Docstring("Read line 1 of the given file.", "files", "os")
    again = Docstring("read line 2 of the given FILE", "files", "io")
    here, there = Docstring("Close it.", "files", "os"), Docstring("close it", "networking", "ssl")
    assert without_duplicates([once, here, again, there]) == (once,)


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        ("Fit a model to\n    the data given.\n\n    More.", "Fit a model to the data given."),
        ("Fit a model to the data given.\nParameters\n----------\nx", "Fit a model to the data given."),
        (
            "Turn an :class:`~pkg.Image` into `an array <https://x.y/z>`_ of *many* ``uint8`` numbers.",
            "Turn an Image into an array of many uint8 numbers.",
        ),
        (
            "Turn a [`~pkg.Model`] into [a list](https://x.y/z) of all its layers.",
            "Turn a Model into a list of all its layers.",
        ),
        (
            "Convert this NumPy array to a pandas frame without copying.",
            "Convert this library array to a library frame without copying.",
        ),
        ("Read the next one or two lines.", "Read the next one or two lines."),  # 7 words
        ("Read the next one or two.", None),  # 6 words
        (" ".join(["word"] * 120), " ".join(["word"] * 120)),
        (" ".join(["word"] * 121), None),
        ("Read all the lines of the file. Deprecated since the last version.", None),
        ("TODO: read all of the lines of the file again.", None),
        ("read(n) -> the bytes that could be read from the file", None),
        ("Read all of the lines :param x: of the file that is given", None),
        ("x = f(y) + g(z) * 3 and then h(x)[0] == 1", None),
        ("", None),
    ],
)
def test_clean_text(docstring: str, text: str | None) -> None:
    assert clean_text(docstring) == text


def test_public_docstrings_are_read_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "unimportable_package"
    for folder in (package / "sub", package / "tests"):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (package / "broken.py").write_text('"""No."""\ndef (')
    (package / "sub" / "b.py").write_text('"""Second."""')
    (package / "sub" / "a.py").write_text('"""First."""')
    (package / "tests" / "test_a.py").write_text('"""No."""')
    monkeypatch.syspath_prepend(tmp_path)
    found = list(module_docstrings("unimportable_package"))
    assert found == ["Package.", "Class.", "Method.", "Coroutine.", "First.", "Second."]
    assert list(module_docstrings("unimportable_package.sub.b")) == ["Second."]
    assert list(module_docstrings("unimportable_package.absent")) == []
    assert list(module_docstrings("no_such_package_anywhere.at.all")) == []
    assert "unimportable_package" not in sys.modules
