"""`runner merge` with real tiny models: weights as the formulas say, and a run like any other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from runner.classifier import load_classifier
from runner.merge.deltas import combined
from runner.merge.heads import merged_head
from store import (
    Run,
    Store,
    get_evaluation,
    get_run,
    list_checkpoints,
    list_scores,
    read_predictions,
)
from tests.runner.conftest import Kit
from tests.runner.merge.conftest import Family
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture


def folder(store: Store, run: Run) -> Path:
    return store.files / next(c.path for c in list_checkpoints(store, run.key) if c.is_best)


def backbone(store: Store, run: Run) -> dict[str, torch.Tensor]:
    return load_file(folder(store, run) / "backbone" / "model.safetensors")


def changes(store: Store, run: Run) -> dict[str, torch.Tensor]:
    """What a LoRA adds to each layer: scale × B A."""
    model: Any = load_classifier(folder(store, run))[0].backbone
    return {
        name: module.get_delta_weight("default").detach()
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def merged(runner: Runner, store: Store, runs: tuple[Run, ...], *options: str) -> Run:
    said = runner(store, "merge", *(run.id for run in runs), *options, "--quiet", "--json")
    assert said.code == 0, said.err
    return get_run(store, said.json["id"])


def test_side_by_side_is_the_weighted_sum_and_a_run_like_any_other(runner: Runner, family: Family) -> None:
    store, (a, b) = family.store, family.lora
    run = merged(runner, store, family.lora, "--by", "cat", "--weights", "0.25,0.75", "--name", "both")
    assert (run.name, run.method, run.status, run.tags) == ("both", "lora", "finished", ("merge",))
    assert run.recipe_hash not in (a.recipe_hash, b.recipe_hash)
    of_a, of_b, of_both = (changes(store, each) for each in (a, b, run))
    assert len(of_both) == len(of_a) >= 10
    for name, change in of_both.items():
        assert torch.allclose(change, 0.25 * of_a[name] + 0.75 * of_b[name], atol=1e-5)
    heads = [load_file(folder(store, each) / "head.safetensors") for each in (a, b, run)]
    mean = 0.25 * heads[0]["linear.weight"] + 0.75 * heads[1]["linear.weight"]
    assert torch.allclose(heads[2]["linear.weight"], mean, atol=1e-6)
    # evaluated as any other run: every split but train, with intervals and predictions
    scores = list_scores(store, [run.key])
    assert set(scores["split"]) == {"validation", "test"}
    assert bool(scores[scores["metric"] == "accuracy"]["low"].notna().all())
    assert bool(scores["is_best"].all())
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    recorded = read_predictions(store, evaluation)
    assert len(recorded.predicted) == 33
    assert run.provenance is not None
    kept: Any = run.provenance["merge"]
    assert [(p["id"], p["weight"]) for p in kept["parents"]] == [(a.id, 0.25), (b.id, 0.75)]
    # and every command knows it
    out = folder(store, run).parent / "answers.jsonl"
    said = runner(store, "predict", "both", "--split", "test", "--out", str(out), "--json", "--device", "cpu")
    assert said.code == 0, said.err
    assert sum(said.json["counts"].values()) == 33
    shown = runner(store, "show", "both").out
    assert f"merged      by cat: lora-0 ({a.id}) × 0.25, lora-1 ({b.id}) × 0.75" in shown
    assert "both" in runner(store, "ls").out
    assert "merge.method" in runner(store, "diff", "lora-0", "both").out
    assert "was merged of other runs, not trained" in runner(store, "reproduce", "both").err


@pytest.mark.parametrize("way", ["linear", "ties", "dare-linear", "dare-ties", "magnitude-prune"])
def test_each_way_of_peft_gives_one_adapter_that_loads(runner: Runner, family: Family, way: str) -> None:
    density = () if way == "linear" else ("--density", "0.7")
    run = merged(runner, family.store, family.lora, "--by", way, *density)
    assert run.name == f"lora-0-{way}"
    ranks = {len(t) for n, t in load_file(folder(family.store, run) / "adapter/adapter_model.safetensors").items()
             if "lora_A" in n}  # fmt: skip
    assert ranks == {16}
    assert all(bool(change.isfinite().all()) for change in changes(family.store, run).values())


def test_folding_changes_no_answer(runner: Runner, family: Family) -> None:
    store, (a, _) = family.store, family.lora
    run = merged(runner, store, (a,), "--fold")
    assert (run.name, run.method) == ("lora-0-folded", "full")
    for split in ("validation", "test"):
        before, after = get_evaluation(store, a.key, split), get_evaluation(store, run.key, split)
        assert before is not None
        assert after is not None
        p_before, p_after = read_predictions(store, before), read_predictions(store, after)
        assert np.array_equal(p_before.predicted, p_after.predicted)
        assert np.allclose(p_before.p_given, p_after.p_given, atol=1e-5)
    assert not (folder(store, run) / "adapter").exists()


def test_dare_of_full_fine_tunes_drops_and_rescales(runner: Runner, kit: Kit, family: Family) -> None:
    """Without overlap to hide behind: each change is 0, of one parent / density, or of both."""
    store, (a, b) = family.store, family.full
    run = merged(
        runner, store, family.full, "--by", "dare-linear", "--density", "0.5", "--weights", "1,1", "--seed", "4"
    )
    assert run.method == "full"
    base, of_a, of_b, of_both = load_file(kit.bert / "model.safetensors"), *(backbone(store, r) for r in (a, b, run))
    shares = []
    for name, tensor in of_both.items():
        one, other, found = ((weights[name] - base[name]) for weights in (of_a, of_b, of_both))
        choices = torch.stack([torch.zeros_like(one), 2 * one, 2 * other, 2 * one + 2 * other])
        nearest = (choices - found).abs().min(0)
        assert float(nearest.values.max()) < 1e-5, name
        if tensor.ndim == 2 and bool((one != 0).all()):
            shares.append(float((nearest.indices == 0).float().mean()))
    assert np.mean(shares) == pytest.approx(0.25, abs=0.03)
    again = merged(runner, store, family.full, "--by", "dare-linear", "--weights", "1,1", "--seed", "4", "--name", "x")
    assert again.recipe_hash == run.recipe_hash
    for name, tensor in backbone(store, again).items():
        assert torch.equal(tensor, of_both[name])


def test_the_mean_of_full_fine_tunes(runner: Runner, family: Family) -> None:
    store, (a, b) = family.store, family.full
    of_a, of_b, of_both = (backbone(store, r) for r in (a, b, merged(runner, store, family.full)))
    for name, tensor in of_both.items():
        assert torch.allclose(tensor, (of_a[name] + of_b[name]) / 2, atol=1e-6)


def test_ties_keeps_what_agrees() -> None:
    deltas = [torch.tensor([4.0, -3.0, 0.1, 2.0]), torch.tensor([2.0, 1.0, 0.2, -4.0])]
    found = combined(deltas, way="ties", weights=torch.ones(2), density=0.75)
    assert found.tolist() == [3.0, -3.0, 0.0, -4.0]  # trimmed: 0.1 and 0.2; signs: of the larger sum


def test_heads_meet_label_by_label() -> None:
    from runner.classifier import ClassifierHead

    heads = [ClassifierHead(3, 2, 0.0), ClassifierHead(3, 2, 0.0)]
    for head in heads:
        torch.nn.init.normal_(head.linear.weight)
        torch.nn.init.normal_(head.linear.bias)
    heads[0].fit_scaling(torch.randn(50, 3) * 2 + 1)
    both = merged_head(heads, [("no", "yes"), ("yes", "no")], [3, 1], ("no", "yes"))
    x = torch.randn(5, 3)
    expected = 0.75 * heads[0].eval()(x) + 0.25 * heads[1].eval()(x)[:, [1, 0]]
    assert torch.allclose(both.eval()(x), expected, atol=1e-5)


def test_all_that_is_wrong_is_said_at_once(runner: Runner, kit: Kit, family: Family) -> None:
    store = family.store
    known = {run.id for run in (*family.lora, *family.full)}
    other = kit.train(
        store,
        name="other-base",
        model__base=str(kit.gpt2),
        model__method="lora",
        model__lora={"r": 4},
        training__max_steps=1,
    )
    head = kit.train(store, name="head-only", model__method="head", training__max_steps=1)
    none = kit.train(store, name="bare", checkpoints__keep="none", training__max_steps=1, model__method="lora")
    n_before = len(runner(store, "ls", "--json").json)
    said = runner(
        store, "merge", family.lora[0].id, other.id, none.id, family.full[0].id, "--by", "ties",
        "--weights", "1,-2", "--density", "1.5", "--seed", "3",
    )  # fmt: skip
    assert said.code == 2
    for part in (
        f"the runs have different bases: {kit.bert}: lora-0",
        f"{kit.gpt2}: other-base",
        'keeps no checkpoint (its recipe says checkpoints.keep = "none")',
        "--weights: 2 for 4 runs",
        "-2; each must be a number above 0",
        "--density 1.5: must be above 0 and at most 1",
        "--seed: ties leaves nothing to chance",
        "adapters and full fine-tunes do not mix",
    ):
        assert part in said.err, part
    for arguments, part in (
        ((family.lora[0].id,), "name two or more, or --fold"),
        ((family.lora[0].id, family.lora[0].id), "is named twice"),
        ((*(run.id for run in family.full), "--fold"), "there is no adapter to fold"),
        ((*(run.id for run in family.lora), "--density", "0.5"), "linear drops nothing"),
        ((family.lora[0].id, head.id), "method head changes no weights that could be merged: head-only"),
        ((*(run.id for run in family.lora), "--weights", "a,b"), "numbers with commas between them"),
    ):
        said = runner(store, "merge", *arguments)
        assert said.code == 2
        assert part in said.err
    assert len(runner(store, "ls", "--json").json) == n_before >= len(known)
