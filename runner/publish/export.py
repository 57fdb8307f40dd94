"""The folder for others: written beside its place, its answers compared with the run's own, and moved there whole."""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from runner.checkpoints import DiskFull
from runner.classifier import CheckpointInfo, TextClassifier
from runner.errors import ModelError
from runner.files import folder_bytes, is_disk_full
from runner.inputs import given_words
from runner.predict import Predictor, load_predictor
from runner.publish.card import Exported, card_text
from runner.publish.example import Format
from runner.publish.facts import card_facts
from runner.publish.formats import write_adapter, write_parts, write_transformers
from runner.publish.forms import NotExpressible, find_form
from runner.publish.plan import Plan, base_name, check_target, public_base
from runner.training_state import FOLDER as TRAINING
from runner.word_encoding import encode_words, needs_blank
from store import get_dataset, iter_inputs, iter_texts, read_values

N_COMPARED = 64
"""Stored examples that both models are asked about."""

TOLERANCE = 1e-4
"""Largest difference of a probability between the run's model and the exported one."""

_SOME_TEXTS = ("a", "A short text.", "Another text, which is somewhat longer than the others are.", "2 + 2 = 4?")


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
    texts = _texts(plan)
    reason = None
    for form in _forms(plan):
        try:
            exported = _write(plan, folder, form, texts, reason)
        except (NotExpressible, _Differs) as refused:
            if plan.wanted != "auto" or form == "parts":
                raise ModelError(f"--format {form}: {refused}. Use --format parts.") from refused
            reason = str(refused)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            break
    _write_extras(plan, folder)
    (folder / "README.md").write_text(card_text(card_facts(plan), exported), encoding="utf-8")
    return exported


class _Differs(Exception):
    """What was written does not answer as the run's model does."""


def _forms(plan: Plan) -> Sequence[Format]:
    return ("transformers", "parts") if plan.wanted == "auto" else (plan.wanted,)


def _write(plan: Plan, folder: Path, form: Format, texts: Sequence[Any], reason: str | None) -> Exported:
    predictor = load_predictor(plan.store, plan.run, step=plan.checkpoint.step, device="cpu")
    model = predictor.model
    assert isinstance(model, TextClassifier), "of other tasks no export is planned"
    expected = _expected(predictor, texts)
    info = _info(predictor, plan)
    prefix_space = info.task == "token-classification" and needs_blank(predictor.tokenizer)
    folder.mkdir()
    note = None
    if form == "transformers":
        write_transformers(folder, model, predictor.tokenizer, info)
        body: Any = model.backbone
        if info.task != "token-classification":
            note = find_form(body.config.model_type, info.pooling).note
    elif form == "parts":
        write_parts(folder, model, predictor.tokenizer, info, base_name(plan.recipe.model))
    else:
        write_adapter(folder, model, predictor.tokenizer, info, base_name(plan.recipe.model))
    base, revision = public_base(info.base), info.revision
    if form == "adapter":  # the name for others may not be the one that it has here
        base = base or info.base
    exported = Exported(
        form=form,
        reason=reason,
        note=note,
        max_length=info.max_length,
        pooling=info.pooling,
        base=base,
        revision=revision,
        n_compared=len(texts),
        difference=0.0,
        task=info.task,
        prefix_space=prefix_space,
    )
    found = _answers(
        exported.example(str(folder)), texts, predictor.batch_size, here=(str(base), plan.recipe.model.base)
    )
    if found.shape != expected.shape or not (np.isnan(found) == np.isnan(expected)).all():
        raise _Differs("it answers for other words than the run's own model")
    difference = float(np.nanmax(np.abs(found - expected)))
    if not difference <= TOLERANCE:
        raise _Differs(f"its probabilities differ by up to {difference:.2g} from the run's own model")
    return replace(exported, difference=difference)


def _expected(predictor: Predictor, texts: Sequence[Any]) -> NDArray[np.float64]:
    """Probabilities (n, k) of the run's own model, of texts or of all words of sentences (nan: no token answers)."""
    if predictor.info.task != "token-classification":
        return predictor.predict(texts)[0]
    split = encode_words(texts, predictor.tokenizer, predictor.max_length)
    return torch.from_numpy(predictor.outputs(split)).double().softmax(1).numpy()


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


def _answers(code: str, texts: Sequence[Any], batch_size: int, here: tuple[str, str]) -> NDArray[np.float64]:
    """Probabilities (n, k) that the lines of the README give. `here`: a base's public name, and its name on this host.

    A base that comes as a package has a public name, under which it need not be there.
    """
    public, local = here
    if local.startswith("builtin:"):
        from runner.location import model_location

        code = code.replace(repr(public), repr(model_location(local, None)))
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # our own lines, with the folder filled in
    if texts and not isinstance(texts[0], str):
        return _of_words(names["predict"], texts)
    pieces = [
        names["predict"](list(texts[first : first + batch_size])).double().numpy()
        for first in range(0, len(texts), batch_size)
    ]
    return np.concatenate(pieces)


def _of_words(predict: Callable[[Sequence[str]], Mapping[int, Any]], sentences: Sequence[Any]) -> NDArray[np.float64]:
    """Probabilities (n_words, k) of all words; nan for those without an answer."""
    rows = []
    for words in sentences:
        answers = {word: p.double().numpy() for word, p in predict(list(words)).items()}
        k = len(next(iter(answers.values()), np.zeros(1)))
        rows += [answers.get(word, np.full(k, np.nan)) for word in range(len(words))]
    return np.stack(rows)


def _texts(plan: Plan) -> list[Any]:
    """Stored examples, from the split that the model was not trained on where there is one; else some of our own.

    Of a tagger lists of words.
    """
    is_tagger = plan.run.task == "token-classification"
    if plan.run.dataset_key is None:
        return [text.split() for text in _SOME_TEXTS] if is_tagger else list(_SOME_TEXTS)
    dataset = get_dataset(plan.store, plan.run.dataset_key)
    split = next((name for name in ("test", "validation", "train") if dataset.n_rows.get(name)), None)
    if is_tagger:
        rows = [] if split is None else next(iter_inputs(plan.store, dataset, split, N_COMPARED), [])
        return [row["tokens"] for row in rows] or [text.split() for text in _SOME_TEXTS]
    stored: list[str] = [] if split is None else next(iter_texts(plan.store, dataset, split, N_COMPARED), [])
    return [text for text in stored if text.strip()] or list(_SOME_TEXTS)


def _write_extras(plan: Plan, folder: Path) -> None:
    if "optimizer-state" in plan.extras:
        shutil.copytree(plan.source / TRAINING, folder / TRAINING)
    if "training-text" in plan.extras and plan.run.dataset_key is not None:
        dataset = get_dataset(plan.store, plan.run.dataset_key)
        (folder / "data").mkdir()
        names = dataset.label_names or ()
        for i, split in enumerate(name for name, n in dataset.n_rows.items() if n):
            name = split if split in ("train", "validation", "test") else f"split-{i}"  # no path from data
            targets = iter(read_values(plan.store, dataset, split))
            with (folder / "data" / f"{name}.jsonl").open("w", encoding="utf-8", errors="replace") as file:
                for batch in iter_inputs(plan.store, dataset, split):
                    for inputs in batch:
                        given = given_words(next(targets), names)
                        field = "spans" if plan.run.task == "token-classification" else "label"
                        file.write(json.dumps({**inputs, field: given}, ensure_ascii=False) + "\n")
