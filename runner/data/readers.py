"""Who reads the target column of a task."""

from typing import TYPE_CHECKING

from runner.data.answers import AnswerReader, NothingReader
from runner.data.problems import Problems
from runner.data.relevance import RelevanceReader
from runner.data.sources import Source
from runner.data.tags import TagReader
from runner.data.targets import LabelReader, LabelSetReader, NumberReader, TargetReader

if TYPE_CHECKING:
    from runner.recipe.data import Data


def target_reader(source: Source, data: "Data", problems: Problems) -> TargetReader:
    """The reader of a source's targets."""
    columns = source.columns
    match columns.shape.kind:
        case "spans":
            declared = data.labels if data.labels and "O" in data.labels else None
            named = (table.class_names.get(columns.target) for table in source.tables)
            return TagReader(columns, problems, declared or next(filter(None, named), None), data.tag_rules)
        case "labels":
            return LabelSetReader(columns, problems)
        case "number":
            return NumberReader(columns, problems)
        case "relevance":
            return RelevanceReader(columns, problems)
        case "text":
            return AnswerReader(columns, problems)
        case "none":
            return NothingReader()
        case _:
            return LabelReader(columns, problems)
