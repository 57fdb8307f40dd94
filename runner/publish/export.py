"""The folder for others: written beside its place, its answers compared with the run's own, and moved there whole."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.checkpoints import DiskFull
from runner.classifier import CheckpointInfo, TextClassifier
from runner.encoding import pieces_of
from runner.errors import ModelError
from runner.files import folder_bytes, is_disk_full
from runner.inputs import given_words
from runner.language.model import LanguageModel
from runner.location import model_location
from runner.predict import Predictor, load_predictor
from runner.publish.card import Exported, card_text
from runner.publish.comparison import Differs, ask_own, compare
from runner.publish.example import Format, Loading
from runner.publish.example_language import Prompting
from runner.publish.facts import card_facts
from runner.publish.formats import write_adapter, write_parts, write_transformers
from runner.publish.forms import NotExpressible, find_form
from runner.publish.language import prompting_of, write_language_model
from runner.publish.plan import Plan, base_name, check_target, public_base
from runner.publish.questions import questions_of
from runner.recipe.shapes import SHAPES
from runner.training_state import FOLDER as TRAINING
from runner.word_encoding import needs_blank
from store import get_dataset, iter_inputs, read_values


@dataclass(frozen=True)
class Done:
    """What was written where."""

    folder: Path
    exported: Exported
    n_bytes: int


def export(plan: Plan, target: Path) -> Done:
    """Write the folder; there is all of it or nothing. Raises UserError."""
    check_target(target)
    target = target.expanduser().absolute()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        exported = write_export(plan, partial)
        check_target(target)
        partial.rename(target)
    except Exception as error:
        if is_disk_full(error):
            raise DiskFull(f"disk full: the export does not fit in {target.parent}. Free some space.") from error
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Done(target, exported, folder_bytes(target))


def write_export(plan: Plan, folder: Path) -> Exported:
    """Fill a new folder: model, tokenizer, card and what else was asked for. Its answers are those of the run."""
    questions = questions_of(plan)
    forms, reason = _forms(plan), None
    for form in forms:
        try:
            exported = _write(plan, folder, form, questions, reason)
        except (NotExpressible, Differs) as refused:
            if form == forms[-1]:
                instead = "" if plan.kind.is_language or form == "parts" else " Use --format parts."
                raise ModelError(f"--format {form}: {refused}.{instead}") from refused
            reason = str(refused)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            break
    _write_extras(plan, folder)
    (folder / "README.md").write_text(card_text(card_facts(plan), exported), encoding="utf-8")
    return exported


def _forms(plan: Plan) -> Sequence[Format]:
    if plan.wanted != "auto":
        return (plan.wanted,)
    return ("transformers",) if plan.kind.is_language else ("transformers", "parts")


def _write(
    plan: Plan, folder: Path, form: Format, questions: Sequence[Mapping[str, Any]], reason: str | None
) -> Exported:
    predictor = load_predictor(plan.store, plan.run, step=plan.checkpoint.step, device="cpu")
    prompting = prompting_of(plan, predictor)
    own = ask_own(predictor, questions, plan.kind, prompting or Prompting())
    info = _info(predictor, plan)
    loading = Loading(
        form=form,
        task=info.task,
        max_length=info.max_length,
        pooling=info.pooling,
        # the name for others may not be the one that it has here
        base=public_base(info.base) or (info.base if form == "adapter" else None),
        revision=info.revision,
        prefix_space=plan.kind.says == "tags" and needs_blank(predictor.tokenizer),
        is_pair=not plan.kind.is_language and len(pieces_of(questions[0])) > 1,
        prompting=prompting,
    )
    folder.mkdir()
    note = _save(plan, folder, predictor, info, form)
    scale = float(info.settings.get("scale") or info.settings.get("most") or 1.0)
    del predictor  # a large model is not held twice
    code = _found_here(loading.example(folder), loading, plan)
    checked = compare(own, code, questions, plan.kind, prompting or Prompting(), scale=scale)
    return Exported(loading, reason, note, checked)


def _save(plan: Plan, folder: Path, predictor: Predictor, info: CheckpointInfo, form: Format) -> str | None:
    """Write the model; returns what somebody who trains it further should know."""
    model, tokenizer, base = predictor.model, predictor.tokenizer, base_name(plan.recipe.model)
    if isinstance(model, LanguageModel):
        write_language_model(folder, model, tokenizer, info, plan.recipe, base if form == "adapter" else None)
        return None
    assert isinstance(model, TextClassifier), "what is no language model has a head"
    if form == "parts":
        write_parts(folder, model, tokenizer, info, base)
    elif form == "adapter":
        write_adapter(folder, model, tokenizer, info, base)
    else:
        write_transformers(folder, model, tokenizer, info)
        body: Any = model.backbone
        return None if plan.kind.says == "tags" else find_form(body.config.model_type, info.pooling).note
    return None


def _info(predictor: Predictor, plan: Plan) -> CheckpointInfo:
    model = plan.recipe.model
    return CheckpointInfo(
        run_id=plan.run.id,
        task=str(plan.run.task),
        method=model.method,
        base=model.base,
        labels=predictor.labels,
        pooling=predictor.model.pooling,
        max_length=predictor.max_length,
        step=plan.checkpoint.step,
        epoch=plan.checkpoint.epoch,
        revision=model.revision,
        settings=predictor.info.settings,
    )


def _found_here(code: str, loading: Loading, plan: Plan) -> str:
    """The lines with the base of an adapter as it is found on this machine: a package, or what the hub gave before."""
    if loading.form != "adapter":
        return code
    model = plan.recipe.model
    return code.replace(repr(loading.base), repr(model_location(model.base, model.revision)))


def _write_extras(plan: Plan, folder: Path) -> None:
    if "optimizer-state" in plan.extras:
        shutil.copytree(plan.source / TRAINING, folder / TRAINING)
    if "training-text" in plan.extras and plan.run.dataset_key is not None:
        dataset = get_dataset(plan.store, plan.run.dataset_key)
        (folder / "data").mkdir()
        names = dataset.label_names or ()
        target = "spans" if plan.kind.says == "tags" else SHAPES[str(plan.run.task)].target
        for i, split in enumerate(name for name, n in dataset.n_rows.items() if n):
            name = split if split in ("train", "validation", "test") else f"split-{i}"  # no path from data
            targets = iter(read_values(plan.store, dataset, split))
            with (folder / "data" / f"{name}.jsonl").open("w", encoding="utf-8", errors="replace") as file:
                for batch in iter_inputs(plan.store, dataset, split):
                    for inputs in batch:
                        value = next(targets)
                        given = {target: given_words(value, names)} if target else {}
                        file.write(json.dumps({**inputs, **given}, ensure_ascii=False) + "\n")
