"""The kinds of work that a recipe's `task` names: one object each, in one table.

task                  what each of them says            objective   losses, and what a step divides them by
text_classification   one text, one of k labels
"""

from collections.abc import Mapping
from types import MappingProxyType

from runner.tasks.task import Examination, Objective, StepLoss, Task
from runner.tasks.text_classification import TextClassification

TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in (TextClassification(),)})
"""Every task, by the name that a recipe gives it."""

__all__ = ["TASKS", "Examination", "Objective", "StepLoss", "Task"]
