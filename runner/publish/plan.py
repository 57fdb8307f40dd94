"""What is to be exported, checked as a whole before anything is loaded or written. Loads no torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.errors import UserError
from runner.files import wrong_files
from runner.inputs import choose_checkpoint
from runner.publish.kinds import KINDS, Kind
from runner.recipe import Recipe, RecipeError, recipe_from_resolved
from runner.recipe.methods import ADAPTERS, PROMPT_TYPES
from store import Checkpoint, Run, Store

FORMATS = ("auto", "transformers", "parts", "adapter")
EXTRAS = ("training-text", "optimizer-state")
"""What is only handed out when somebody asks for it."""

Wanted = Literal["auto", "transformers", "parts", "adapter"]

PUBLIC_NAMES = {"builtin:minilm": "sentence-transformers/all-MiniLM-L6-v2"}


@dataclass(frozen=True)
class Plan:
    """An export that can be carried out."""

    store: Store
    run: Run
    recipe: Recipe
    checkpoint: Checkpoint
    wanted: Wanted
    extras: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        """The checkpoint's folder."""
        return self.store.files / self.checkpoint.path

    @property
    def kind(self) -> Kind:
        """What the run's model is to others."""
        return KINDS[str(self.run.task)]


def public_base(base: str | None) -> str | None:
    """The name under which others find a base model; None for a local folder and for random weights.

    >>> [public_base(base) for base in ("roberta-base", "builtin:minilm", "/models/mine", "scratch:bert")]
    ['roberta-base', 'sentence-transformers/all-MiniLM-L6-v2', None, None]
    """
    if base is None or base.startswith(("scratch:", "run:")) or Path(base).is_absolute():
        return None
    return PUBLIC_NAMES.get(base, base)


def plan_export(
    store: Store, run: Run, *, step: int | None = None, wanted: Wanted = "auto", extras: Sequence[str] = ()
) -> Plan:
    """Raises UserError with all that stands against it."""
    if run.recipe is None:
        raise UserError(
            f"run {run.name} ({run.id}) was recorded by a script, so how to load its model is not known: "
            "its own script can save it."
        )
    if run.task not in KINDS:
        raise UserError(f"run {run.name} ({run.id}) is of task {run.task}; models of {', '.join(KINDS)} are exported.")
    try:
        recipe = recipe_from_resolved(run.recipe)
    except RecipeError as error:
        raise UserError(f"run {run.name} ({run.id}) was recorded by another version of Assay: {error}") from error
    plan = Plan(store, run, recipe, choose_checkpoint(store, run, step), wanted, tuple(extras))
    if problems := list(_problems(plan)):
        raise UserError("\n".join(problems))
    return plan


def _problems(plan: Plan) -> Iterator[str]:
    run, model = plan.run, plan.recipe.model
    folded = "transformers" if plan.kind.is_language else "parts"
    title = f"run {run.name} ({run.id})"
    if wrong := wrong_files(plan.source, plan.checkpoint.manifest):
        yield (
            f"the checkpoint of step {plan.checkpoint.step:,} of {title} is not what the run wrote: "
            f"{'; '.join(wrong[:5])}. Restore its files, or choose another with --checkpoint."
        )
    if model.method == "qlora" and model.quantization.bits == 8:
        yield (
            f"{title} has a base of 8 bits, whose layers round what goes through them as well: with other weights it "
            f"answers otherwise. `runner merge {run.id} --fold` makes a model of full weights, evaluated as what it is."
        )
    elif model.method == "peft" and model.peft.type in PROMPT_TYPES:
        yield (
            f"{title} puts learnt tokens before each text ({model.peft.type}), which no weights hold that others load; "
            "`runner predict` answers with it."
        )
    elif plan.wanted == "adapter" and model.method == "qlora":
        yield (
            f"--format adapter: {title} was trained on a base of 4 bits, and belongs on one; use {folded}, which folds "
            "it into the weights that those bits stand for."
        )
    elif plan.wanted == "adapter" and model.method not in ADAPTERS:
        yield f"--format adapter: {title} is of method {model.method}, which makes no adapter; use {folded}."
    elif plan.wanted == "adapter" and public_base(model.base) is None:
        yield (
            f"--format adapter: its base {model.base} is nowhere that others can load it from; "
            f"use {folded}, which brings the base along."
        )
    if plan.wanted == "parts" and plan.kind.is_language:
        yield f"--format parts: {title} is a language model, which is one part; use transformers."
    if "training-text" in plan.extras and run.dataset_key is None:
        yield f"--with training-text: {title} has no dataset in the store."
    if "optimizer-state" in plan.extras and not (plan.source / "training").is_dir():
        yield (
            f"--with optimizer-state: the checkpoint of step {plan.checkpoint.step:,} of {title} has none; "
            "only runs that have not finished keep it."
        )


def check_target(target: Path) -> None:
    """Raise UserError where a new folder cannot be made."""
    target = target.expanduser().absolute()
    if target.is_symlink() or target.exists():
        raise UserError(f"{target} is there already, and nothing is overwritten: name another folder, or remove it.")
    if not target.parent.is_dir():
        raise UserError(f"{target}: there is no folder {target.parent}. Make it first.")


def base_name(model: Any) -> str:
    """What to call a base in public: its name, or of a local folder only the last part."""
    return public_base(model.base) or (model.base if model.base.startswith("scratch:") else Path(model.base).name)
