"""A recipe in the words of `transformers.TrainingArguments`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainingArguments

from evals.metrics import get_metric
from runner.devices import Device

if TYPE_CHECKING:
    from runner.recipe import Recipe

_PRECISIONS = {None: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}


def training_arguments(
    recipe: "Recipe", device: Device, folder: Path, *, saves: bool, shards: bool = False
) -> TrainingArguments:
    """What the Trainer is to do; `saves` lets it keep checkpoints and end with the best, `shards` is FSDP."""
    spec, every = recipe.training, recipe.evaluation.every
    strategy: dict[str, Any] = (
        {"eval_strategy": "epoch"}
        if every == "epoch"
        else {
            "eval_strategy": "steps",
            "eval_steps": every,
            "save_steps": every,
        }
    )
    metric = recipe.evaluation.select
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=spec.epochs or 1,
        max_steps=spec.max_steps or -1,
        learning_rate=spec.learning_rate or 0.0,
        per_device_train_batch_size=spec.batch_size,
        gradient_accumulation_steps=spec.gradient_accumulation,
        optim=spec.optimizer,
        weight_decay=spec.weight_decay,
        warmup_steps=spec.warmup,
        lr_scheduler_type=spec.schedule if spec.schedule != "constant" else "constant_with_warmup",
        max_grad_norm=spec.max_grad_norm,
        seed=spec.seed,
        data_seed=spec.seed,
        bf16=device.dtype is torch.bfloat16,
        fp16=device.dtype is torch.float16,
        use_cpu=device.type == "cpu",
        logging_steps=recipe.recording.log_every,
        logging_nan_inf_filter=False,  # a loss that is not a number is news, not noise
        logging_first_step=True,
        save_strategy=strategy["eval_strategy"] if saves else "no",
        save_only_model=not shards,  # the Trainer writes nothing itself (`runner.trainer`), and with FSDP refuses this
        restore_callback_states_from_checkpoint=True,  # the patience of early stopping
        load_best_model_at_end=saves,
        metric_for_best_model=metric,
        greater_is_better=get_metric(metric).higher_is_better,
        disable_tqdm=True,
        report_to=[],
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        **strategy,
    )
    arguments.mixed_precision = _PRECISIONS[device.dtype]  # the recipe's, whatever accelerate's launcher was told
    if "WORLD_SIZE" not in os.environ:
        arguments._n_gpu = min(arguments.n_gpu, 1)  # several visible GPUs must not mean DataParallel
    return arguments
