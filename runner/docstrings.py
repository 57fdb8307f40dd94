"""`builtin:docstrings`: an English text-classification data set that every machine already has.

The texts are first paragraphs of docstrings from the standard library and from the packages that Assay itself
needs; the label is the topic of the library a docstring comes from. Source files are parsed, never imported.
A recorded share of the training labels is flipped, so that a search for wrong labels can be scored.
"""

import ast
import re
import sys
import sysconfig
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import chain, pairwise, zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

Split = Literal["train", "validation", "test"]

SIZES: Mapping[Split, int] = {"train": 2400, "validation": 400, "test": 600}
"""Rows per split when every topic has enough text; a smaller topic is split in the same proportions."""

MIN_TOPICS = 2
MIN_DOCSTRINGS = 50
MIN_WORDS, MAX_WORDS = 7, 120
MIN_ENGLISH = 0.75  # share of the words that are plain words rather than code, numbers or markup

# Which modules speak about what: a name stands for the module and everything below it. Only what a plain
# installation of Assay brings along is listed, so that the data do not change with the extras. Libraries that
# are large or speak of several things are listed by their parts: it keeps topics apart and parsing short.
_MODULES = {
    "data frames": """
        datasets.arrow_dataset narwhals.dataframe narwhals.expr narwhals.functions narwhals.series
        pandas.core.frame pandas.core.generic pandas.core.groupby pandas.core.indexes pandas.core.reshape
        pandas.core.series pyarrow.acero pyarrow.compute pyarrow.dataset pyarrow.pandas_compat
        pyarrow.parquet""",
    "files": """
        bz2 filecmp fileinput filelock fsspec.archive fsspec.caching fsspec.core fsspec.generic
        fsspec.implementations.dirfs fsspec.implementations.local fsspec.implementations.memory
        fsspec.implementations.tar fsspec.implementations.zip fsspec.mapping fsspec.spec fsspec.utils glob gzip
        lzma ntpath os pathlib posixpath shutil tarfile tempfile watchdog zipapp zipfile""",
    "graphs": "networkx.algorithms networkx.classes networkx.generators",
    "images and signals": "PIL colorsys numpy.fft scipy.fft scipy.ndimage scipy.signal",
    "machine learning": """
        bitsandbytes.nn bitsandbytes.optim peft.tuners sklearn.cluster sklearn.decomposition sklearn.ensemble
        sklearn.feature_extraction sklearn.linear_model sklearn.metrics sklearn.model_selection
        sklearn.neighbors sklearn.neural_network sklearn.svm sklearn.tree torch.nn torch.optim
        transformers.activations transformers.generation transformers.modeling_utils
        transformers.optimization transformers.trainer""",
    "mathematics": """
        fractions mpmath numpy.linalg numpy.polynomial scipy.integrate scipy.linalg scipy.special
        sympy.functions sympy.geometry sympy.integrals sympy.matrices sympy.ntheory sympy.series""",
    "networking": """
        aiohttp ftplib h11 http httpcore2 httpx2 imaplib ipaddress nntplib poplib requests smtplib socket ssl
        telnetlib urllib urllib3 websockets""",
}
TOPICS: Mapping[str, tuple[str, ...]] = {topic: tuple(names.split()) for topic, names in _MODULES.items()}
"""Topic → names of the modules whose docstrings carry it."""

# Names that would give the topic away without a word being understood; ordinary words (requests, file) stay.
_LIBRARY_NAMES = """
    aiohttp arrow asyncio bitsandbytes fsspec h11 httpcore2? httpx2? hugging\\s?face mpmath narwhals networkx
    numpy pandas peft pil pillow polars pyarrow pytorch scikit-learn scipy sklearn sympy torch transformers
    urllib[23]? watchdog websockets"""
_LIBRARY_NAME = re.compile(rf"\b(?:{'|'.join(_LIBRARY_NAMES.split())})\b", re.IGNORECASE)
MASK = "library"

_SKIPPED = frozenset({"test", "tests", "testing", "_testing", "_vendor", "vendored", "conftest.py"})
_SECTION = re.compile(
    r"(args|arguments|parameters|params|returns?|raises|yields|attributes|examples?|notes?|usage|see also):?",
    re.IGNORECASE,
)
_UNDERLINE = re.compile(r"[-=~^*]{3,}")
_BOILERPLATE = re.compile(
    r"deprecat|\bTODO\b|\bFIXME\b|\bXXX\b|copyright|licen[cs]ed? |>>>|->|:param|:return|:type|@param"
    r"|\.\. [\w-]+::|\\\w|\{\{|%[(sd]|https?:|^[\w.]+\([^)]*\)\s*(?:--|:|$)",
    re.IGNORECASE,
)
_PLAIN_WORD = re.compile(r"[\"'(\[]*[A-Za-z]+(?:['’/-][A-Za-z]+)*[\"')\]]*[.,;:!?]*[\"')]*")
_MARKUP = (  # in this order
    (re.compile(r"(?::[\w+-]+)*:?`([^`<]+?)\s*<[^>`]*>`_*"), r"\1"),  # :role:`title <target>`, `text <address>`_
    (re.compile(r"(?::[\w+-]+)+:`[~!]?(?:[A-Za-z]\w*\.)*([^`]*)`"), r"\1"),  # :role:`~package.module.Name`
    (re.compile(r"\[`[~!]?(?:\w+\.)*([^`\]]+)`\](?:\([^)]*\))?"), r"\1"),  # [`~package.Name`], [`Name`](address)
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),  # [text](address)
    (re.compile(r"`+([^`]*)`+_*"), r"\1"),  # ``code``, `code`
    (re.compile(r"(?<!\w)(\*{1,2}|\|)(\w[^*|]*?)\1(?!\w)"), r"\2"),  # *emphasis*, **strong**, |substitution|
    (re.compile(r"\s*\[\d+\]_"), ""),  # footnote
    (re.compile(r"::(?=\s|$)"), ":"),
)


class DocstringsMissing(ValueError):
    """Too little text is installed to make a data set; the message says what was found and what is needed."""


@dataclass(frozen=True, slots=True)
class Docstring:
    """A cleaned first paragraph, the topic it stands for and the library (top-level module) it comes from."""

    text: str
    topic: str
    library: str


@dataclass(frozen=True, slots=True)
class DocstringRow:
    """One example. `label` is the label to train on, `true_label` the topic; they differ only where flipped."""

    split: Split
    text: str
    label: str
    true_label: str
    library: str


@dataclass(frozen=True, slots=True)
class DocstringData:
    """The data set, training rows first. `n_flipped` training rows have `label != true_label`."""

    rows: tuple[DocstringRow, ...]
    label_names: tuple[str, ...]
    seed: int
    noise: float
    n_flipped: int


def docstring_dataset(seed: int = 13, noise: float = 0.08) -> DocstringData:
    """Docstrings of the installed packages with their topics, about 2,400 / 400 / 600 rows.

    The same versions of the same packages give the same rows. Takes seconds the first time in a process.

    Args:
        seed: at least 0; decides which docstrings are taken, how they are split and which labels are flipped.
        noise: share of the training labels to flip, in [0, 1); the wrong label is uniform over the others.

    Raises:
        ValueError: `seed` or `noise` out of range.
        DocstringsMissing: fewer than two topics have fifty docstrings on this machine.
    """
    return build_dataset(installed_docstrings(), seed=seed, noise=noise)


@lru_cache(maxsize=1)  # the files of a running process do not change, and parsing them takes seconds
def installed_docstrings() -> tuple[Docstring, ...]:
    """Every usable docstring below `TOPICS`, in a fixed order, without duplicates. Imports nothing."""
    return without_duplicates(
        Docstring(text, topic, module.partition(".")[0])
        for topic, modules in TOPICS.items()
        for module in modules
        for docstring in module_docstrings(module)
        if (text := clean_text(docstring)) is not None
    )


def build_dataset(docstrings: Sequence[Docstring], *, seed: int, noise: float) -> DocstringData:
    """Draw, split and flip: the pure part of `docstring_dataset`, with the same arguments and errors.

    Topics get equal shares of the rows, each topic's libraries as equal shares as their sizes allow, and each
    topic is split in the proportions of `SIZES`. Topics with fewer than `MIN_DOCSTRINGS` texts are left out.
    """
    _check(seed, noise)
    pools: dict[str, list[Docstring]] = defaultdict(list)
    for docstring in docstrings:
        pools[docstring.topic].append(docstring)
    topics = tuple(sorted(topic for topic, pool in pools.items() if len(pool) >= MIN_DOCSTRINGS))
    if len(topics) < MIN_TOPICS:
        found = ", ".join(f"{topic}: {len(pool)}" for topic, pool in sorted(pools.items())) or "none at all"
        raise DocstringsMissing(
            f"builtin:docstrings needs at least {MIN_TOPICS} topics with {MIN_DOCSTRINGS} docstrings each;"
            f" found {found}. Docstrings are read from the .py files of the installed packages: install"
            " Assay's own dependencies with their sources (pip install assay -c constraints.txt)."
        )
    rng = np.random.default_rng(seed)
    rows: dict[Split, list[DocstringRow]] = {split: [] for split in SIZES}
    quota = sum(SIZES.values()) // len(topics)
    for topic in topics:
        drawn = _draw(pools[topic], quota, rng)
        for split, part in zip(SIZES, _cut(drawn), strict=True):
            rows[split] += [DocstringRow(split, d.text, topic, topic, d.library) for d in part]
    shuffled = {split: [part[i] for i in rng.permutation(len(part))] for split, part in rows.items()}
    shuffled["train"], n_flipped = _flip(shuffled["train"], topics, noise, rng)
    return DocstringData(tuple(chain(*shuffled.values())), topics, seed, noise, n_flipped)


def clean_text(docstring: str) -> str | None:
    """The first paragraph as plain words, or None if it is no usable English sentence.

    Markup becomes its text, library names become `MASK`. None: fewer than 7 or more than 120 words,
    deprecation notes, signatures, reminders, addresses, or less than three quarters plain words.

    >>> clean_text("Return a :class:`~pandas.DataFrame` with ``n`` rows of the table.\\n\\nMore.")
    'Return a DataFrame with n rows of the table.'
    >>> clean_text("Too short.") is None
    True
    """
    text = " ".join(_first_paragraph(docstring).split())
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    if _BOILERPLATE.search(text):
        return None
    words = text.split()
    n_plain = sum(_PLAIN_WORD.fullmatch(word) is not None for word in words)
    if not MIN_WORDS <= len(words) <= MAX_WORDS or n_plain < MIN_ENGLISH * len(words):
        return None
    return _LIBRARY_NAME.sub(MASK, text)


def module_docstrings(module: str) -> Iterator[str]:
    """Raw docstrings of a module and all below it: modules, and public classes, methods and functions.

    `module` is a dotted name; one that is not installed gives nothing. Files are parsed, not imported, in the
    order of their names; files that this Python cannot parse, and tests, are passed over.
    """
    path = _source_path(module)
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        if file.is_file() and not _SKIPPED & set(file.relative_to(path.parent).parts[1:]):
            yield from _file_docstrings(file)


def without_duplicates(docstrings: Iterable[Docstring]) -> tuple[Docstring, ...]:
    """One docstring per wording (case and everything but letters ignored), and none whose topic is ambiguous."""
    by_wording: dict[str, list[Docstring]] = defaultdict(list)
    for docstring in docstrings:
        by_wording[" ".join(re.findall("[a-z]+", docstring.text.casefold()))].append(docstring)
    return tuple(same[0] for same in by_wording.values() if len({d.topic for d in same}) == 1)


def _check(seed: int, noise: float) -> None:
    problems = []
    if seed < 0:
        problems.append(f"seed = {seed}: must be 0 or more")
    if not 0 <= noise < 1:
        problems.append(f"noise = {noise}: must be a share in [0, 1), such as 0.08")
    if problems:
        raise ValueError("builtin:docstrings: " + "; ".join(problems))


def _draw(pool: Sequence[Docstring], quota: int, rng: np.random.Generator) -> list[Docstring]:
    """Up to `quota` docstrings, taken from the libraries in turn so that no library dominates; shuffled."""
    libraries: dict[str, list[Docstring]] = defaultdict(list)
    for i in rng.permutation(len(pool)):
        libraries[pool[i].library].append(pool[i])
    turns = zip_longest(*(libraries[name] for name in sorted(libraries)))
    drawn = [d for d in chain.from_iterable(turns) if d is not None][:quota]
    return [drawn[i] for i in rng.permutation(len(drawn))]


def _cut(drawn: Sequence[Docstring]) -> list[Sequence[Docstring]]:
    shares = np.cumsum([0, *SIZES.values()]) / sum(SIZES.values())
    edges = [round(share * len(drawn)) for share in shares.tolist()]
    return [drawn[start:end] for start, end in pairwise(edges)]


def _flip(
    rows: Sequence[DocstringRow], topics: Sequence[str], noise: float, rng: np.random.Generator
) -> tuple[list[DocstringRow], int]:
    flipped = list(rows)
    n_flipped = round(noise * len(rows))
    for i in rng.choice(len(rows), size=n_flipped, replace=False).tolist():
        row = rows[i]
        others = [topic for topic in topics if topic != row.true_label]
        wrong = others[int(rng.integers(len(others)))]
        flipped[i] = DocstringRow(row.split, row.text, wrong, row.true_label, row.library)
    return flipped, n_flipped


def _first_paragraph(docstring: str) -> str:
    """Lines up to the first empty line or section heading, without the underlining of a title."""
    lines: list[str] = []
    for line in map(str.strip, docstring.strip().splitlines()):
        if not line or _SECTION.fullmatch(line):
            break
        if not _UNDERLINE.fullmatch(line):
            lines.append(line)
    return "\n".join(lines)


def _source_path(module: str) -> Path:
    """Where the module would lie, without `.py`. Only the top-level name is looked up: that imports nothing."""
    top, *rest = module.split(".")
    if top in sys.stdlib_module_names:
        return Path(sysconfig.get_path("stdlib"), top, *rest)
    try:
        spec = find_spec(top)
    except ValueError:  # a module put into sys.modules by hand has no spec
        spec = None
    if spec is None or spec.origin is None:
        return Path(sysconfig.get_path("purelib"), top, *rest)
    origin = Path(spec.origin)
    return (origin.parent if origin.name == "__init__.py" else origin.with_suffix("")).joinpath(*rest)


def _file_docstrings(file: Path) -> Iterator[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # other people's escape sequences
            warnings.simplefilter("ignore", DeprecationWarning)
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # templates, other encodings, unreadable: not worth a failure
        return
    if (docstring := ast.get_docstring(tree)) is not None:
        yield docstring
    yield from _public_docstrings(tree.body)


def _public_docstrings(body: Sequence[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            if (docstring := ast.get_docstring(node)) is not None:
                yield docstring
            if isinstance(node, ast.ClassDef):
                yield from _public_docstrings(node.body)
