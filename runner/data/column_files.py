"""Reading files of words in columns, as CoNLL shared tasks have them: a word and its tag on each line, a blank line
between sentences.

    Clustering  O
    of          O
    ataxia      B-Disease

Columns are parted by tabs, or by blanks where the first line has no tab. They have no names: "1" is the first one;
"tokens" stands for the first and "tags" for the last. Lines of documents (-DOCSTART-) part sentences like blank ones;
a line that begins with # before the first word of a sentence and has another number of columns is a comment.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.data.problems import Problems
from runner.data.tables import Row
from runner.data.text_files import decoded_lines

SUFFIXES = (".conll", ".bio", ".iob", ".iob2", ".txt")

Word = tuple[int, list[str]]
"""Line, from 1, and its columns; no columns between sentences."""


def column_names(
    path: Path, title: str, encoding: str, problems: Problems, *, least: int = 2
) -> tuple[str, ...] | None:
    """The names that the columns go by; None (and a problem) when there are less than `least` of them: 2 for words with
    a tag, 1 for words alone."""
    undecodable = Problems()  # reading the rows says it again, if it comes to that
    with decoded_lines(path, title, encoding, undecodable) as lines:
        first = next((columns for _, columns in _words(lines) if columns), None)
    if first is None:
        for message in undecodable.messages() or (f"{title} has no rows: it holds nothing but blank lines.",):
            problems.add(message)
        return None
    if len(first) < least:
        problems.add(
            f'{title} has one column on its first line ("{first[0][:40]}"): needed are a word and its tag on each '
            "line, parted by a tab or blanks."
        )
        return None
    return (*(str(number) for number in range(1, len(first) + 1)), "tokens", "tags")


def read_columns(path: Path, title: str, encoding: str, wanted: Sequence[str], problems: Problems) -> Iterator[Row]:
    """The sentences by the line of their first word: of each wanted column the list of its values.

    A line with another number of columns than the first one becomes a problem, and its sentence is left out.
    """
    with decoded_lines(path, title, encoding, problems) as lines:
        width = places = None
        sentence: list[list[str]] = []
        start, is_whole = 0, True
        for number, columns in _words(lines):
            if columns:
                if width is None:
                    width = len(columns)
                    named = {"tokens": 0, "tags": width - 1} | {str(at + 1): at for at in range(width)}
                    places = [named[column] for column in wanted]
                start = start if sentence else number
                is_whole &= len(columns) == width
                sentence.append(columns)
                if len(columns) != width:
                    problems.add_row(
                        title,
                        f"the number of columns is not {width}, as on the first line",
                        f"line {number} ({len(columns)})",
                        "Write each word with its tag on a line of its own, and a blank line after each sentence.",
                    )
            elif sentence:
                if is_whole and places is not None:
                    yield start, tuple([columns[place] for columns in sentence] for place in places)
                sentence, is_whole = [], True


def _words(lines: Iterator[str]) -> Iterator[Word]:
    """Lines with columns, and empty ones between sentences and at the end."""
    is_tabbed, is_first = False, True
    width = number = 0
    for number, line in enumerate(lines, start=1):
        line = line.rstrip()
        if not line or line.startswith("-DOCSTART-"):
            is_first = True
            yield number, []
            continue
        if not width:
            if line.startswith("#") and "\t" not in line:
                continue
            is_tabbed = "\t" in line
        columns = [part.strip(" ") for part in line.split("\t")] if is_tabbed else [p for p in line.split(" ") if p]
        if is_first and width and line.startswith("#") and len(columns) != width:
            continue
        width, is_first = width or len(columns), False
        yield number, columns
    yield number + 1, []
