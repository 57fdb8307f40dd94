"""The kinds of work that a recipe's `task` names: one object each, in one table.

task       what each of them says         objective  losses, and what a step divides them by
pooled     what those share that make one vector of a text      scores     what those share that have no classes
token_losses  losses of tokens
text_classification  one of k labels      multi_label  any number of them     regression  a number
rerank     documents in the order in which they answer a query
token_classification  spans of words
language   raw text, or gaps in it        generation   answers and texts made of texts
"""

from collections.abc import Mapping
from types import MappingProxyType

from runner.tasks.generation import Instruction, Seq2Seq
from runner.tasks.language import CausalLm, MaskedLm
from runner.tasks.multi_label import MultiLabelClassification
from runner.tasks.regression import Regression
from runner.tasks.rerank import Rerank
from runner.tasks.task import Examination, Objective, StepLoss, Task
from runner.tasks.text_classification import PairClassification, TextClassification
from runner.tasks.token_classification import TokenClassification

_ALL: tuple[Task, ...] = (
    TextClassification(),
    PairClassification(),
    MultiLabelClassification(),
    Regression(),
    Rerank(),
    TokenClassification(),
    CausalLm(),
    MaskedLm(),
    Instruction(),
    Seq2Seq(),
)

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})
"""Every task, by the name that a recipe gives it."""

__all__ = ["TASKS", "Examination", "Objective", "StepLoss", "Task"]
