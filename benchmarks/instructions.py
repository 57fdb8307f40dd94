"""Learning to answer: a small GPT-2 from scratch on gsm8k, and the bad examples that its run finds in SFT data.

    GSM8K=data/gsm8k SFT_NOISE=data/sft_noise_gsm8k python -m benchmarks.instructions

Each variable names a folder: gsm_8k_train.json (instruction, output) and train.jsonl (the same with is_bad). A data set
whose variable is not set is skipped. Tokenizer and model are made of the data alone, so what is learnt is how such
answers look, not how to calculate; the figures compare scores, they say nothing of a model that can.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benchmarks.measure import Figure, Report, against, arguments, finish
from benchmarks.training import finished
from runner.progress import make_progress
from runner.quiet import quiet_libraries
from runner.recipe import parse_recipe
from runner.train import train
from runner.triage.answers import read_answers_of
from runner.triage.carry_out import carry_out
from runner.triage.dynamics import run_risks
from runner.triage.identity import Identity, Options
from runner.triage.rows import read_all
from runner.triage.sources import find_sources
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    list_findings,
    list_scores,
    open_store,
    read_responses,
    read_rows,
)

Rows = list[dict[str, str]]

SIZES = {"n_layer": 2, "n_head": 4, "n_embd": 128, "n_positions": 384}
VOCABULARY = 4096


def measure(
    folder: Path, *, n_examples: int | None, epochs: int, n_written: int = 50, is_small: bool = False
) -> Report:
    """Both parts, in a store below `folder`; `n_examples` of each set, None = all.

    n_written: examples of a split that the first model writes answers to.
    """
    store = open_store(folder / "instructions.db")
    figures = [
        *_answers(store, folder, n_examples, epochs, n_written),
        *_bad_examples(store, folder, n_examples, epochs),
    ]
    store.close()
    return Report("Answers to prompts", "a GPT-2 of 2 layers from scratch", figures, is_small=is_small)


def _answers(store: Store, folder: Path, n_examples: int | None, epochs: int, n_written: int) -> list[Figure]:
    name = "gsm8k: test loss, nats a token"
    if "GSM8K" not in os.environ:
        return [Figure(name, [], "nats", note="set GSM8K to the data's folder")]
    rows: Rows = json.loads((Path(os.environ["GSM8K"]) / "gsm_8k_train.json").read_text())[:n_examples]
    run = _trained(store, folder, "gsm8k", rows, epochs, writes=n_written)
    scores = list_scores(store, [run.key])
    losses = scores[(scores["split"] == "test") & (scores["metric"] == "loss")].sort_values("step")
    before, after = (float(losses["value"].iloc[place]) for place in (0, -1))
    untrained = Figure("gsm8k: before training", [before], "nats")
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    written = [response["text"] for response in read_responses(store, evaluation).values() if "text" in response]
    different = Figure("gsm8k: different answers written", [len(set(written))], f"of {len(written)}", at_least=2)
    note = f"first: {written[0][:90]!r}" if written else ""
    return [untrained, Figure(name, [after], "nats", at_most=before, baseline=against(untrained), note=note), different]


def _bad_examples(store: Store, folder: Path, n_examples: int | None, epochs: int) -> list[Figure]:
    if "SFT_NOISE" not in os.environ:
        return [Figure("bad examples: average precision", [], "", note="set SFT_NOISE to the data's folder")]
    lines = (Path(os.environ["SFT_NOISE"]) / "train.jsonl").read_text().splitlines()
    rows: Rows = [json.loads(line) for line in lines][:n_examples]
    run = _trained(store, folder, "sft-noise", rows, epochs, writes=0)
    assert run.dataset_key is not None
    dataset = get_dataset(store, run.dataset_key)
    kept = read_rows(store, dataset, "train", limit=dataset.n_rows["train"])["metadata"]
    is_bad = np.array([row["is_bad"] for row in kept], dtype=bool)
    kinds = np.array([row["corruption"] for row in kept])
    scores = _scores(store, run)
    chance = Figure("bad examples: by chance", [float(is_bad.mean())], "AP")
    found = [chance]
    for name, risk in scores.items():
        known = np.nan_to_num(risk, nan=0.5)
        each = ", ".join(
            f"{kind} {average_precision_score(is_bad[part], known[part]):.2f}"
            for kind in sorted(set(kinds[is_bad]))
            if (part := (kinds == kind) | ~is_bad).any()
        )
        precision = float(average_precision_score(is_bad, known))
        found.append(Figure(f"bad examples: {name}", [precision], "AP", baseline=against(chance), note=each))
    return found + _findings(store, run, kinds, is_bad)


def _findings(store: Store, run: Run, kinds: NDArray[np.str_], is_bad: NDArray[np.bool_]) -> list[Figure]:
    """Of each kind of finding: what share of the examples that it names is bad, and how many of which corruption."""
    triage = carry_out(Identity(store, find_sources(store, [run.id], None), Options()), make_progress("quiet"))
    if triage.status != "finished":
        raise RuntimeError(f"triage {triage.status}: {triage.cause}")
    named = list_findings(store, triage.key, split="train", limit=10**6)
    found = []
    for kind, rows in named.groupby("kind"):
        is_named = np.zeros(len(is_bad), dtype=bool)
        is_named[rows["position"].to_numpy(dtype=np.int64)] = True
        caught = {
            str(corruption): f"{corruption} {(is_named & (kinds == corruption)).sum()}/{(kinds == corruption).sum()}"
            for corruption in sorted(set(kinds[is_bad & is_named]))
        }
        note = f"names {is_named.sum():,}; {', '.join(caught.values()) or 'no bad one'}"
        found.append(Figure(f"findings: {kind}", [float(is_bad[is_named].mean())], "bad", note=note))
    return found


def _scores(store: Store, run: Run) -> Mapping[str, NDArray[np.floating]]:
    """Every score of the run, of its training examples."""
    from evals.triage.instructions import instruction_difficulty
    from evals.triage.tokens import hard_targets

    assert run.dataset_key is not None
    rows = read_all(store, get_dataset(store, run.dataset_key))
    answers = read_answers_of(store, rows, [run])
    assert answers is not None
    n = rows.n_train
    of_epochs = run_risks(store, run.key, np.zeros(n, dtype=np.int64))
    found: dict[str, NDArray[np.floating]] = {f"epochs: {name}": of_epochs[name] for name in of_epochs}
    hard = hard_targets(answers.log_probs, answers.best_other, answers.offsets)
    found["tokens: mean error potential"] = hard.risk[:n]
    found["tokens: worst token"] = np.asarray(hard.evidence["worst_risk"], dtype=np.float64)[:n]
    found["loss of the answer"] = answers.loss[:n]
    if answers.loss_alone is not None:
        found["instruction-following difficulty"] = instruction_difficulty(answers.loss, answers.loss_alone).risk[:n]
    return found


def _trained(store: Store, folder: Path, name: str, rows: Rows, epochs: int, *, writes: int) -> Run:
    path, tokenizer = folder / f"{name}.jsonl", folder / f"{name}-tokenizer"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _save_tokenizer(tokenizer, rows)
    metadata = ["is_bad", "corruption"] if "is_bad" in rows[0] else []
    recipe = f"""
name = "{name}"
task = "instruction"
[model]
base = "scratch:gpt2"
tokenizer = "{tokenizer}"
max_length = 320
config = {json.dumps(SIZES).replace(":", " =")}
[data]
source = "{path}"
columns = {{ prompt = "instruction", completion = "output" }}
metadata = {json.dumps(metadata)}
on_empty = "drop"
[instruction]
long_prompts = "skip"
[training]
epochs = {epochs}
batch_size = 16
learning_rate = 1e-3
packing = true
device = "auto"
[generation]
examples = {writes}
max_new_tokens = 64
[evaluation]
batch_size = 32
[data.split]
validation = 0.05
test = 0.05
"""
    return finished(train(parse_recipe(recipe, folder=folder), store, make_progress("quiet")))


def _save_tokenizer(folder: Path, rows: Rows) -> None:
    """Byte pairs, learnt from the texts themselves."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator((f"{row['instruction']}\n{row['output']}" for row in rows), trainer)
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>").save_pretrained(folder)


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        n_examples, epochs = (200, 1) if options.small else (None, 4)
        finish(measure(Path(folder), n_examples=n_examples, epochs=epochs, is_small=options.small))


if __name__ == "__main__":
    main()
