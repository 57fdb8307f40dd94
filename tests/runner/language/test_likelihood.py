"""How likely tokens are: as transformers says it, however the texts are cut and put together."""

import numpy as np
import pytest
import torch

from runner.batches import to_device
from runner.encoding import NO_TARGET
from runner.inference import OutputsBroken
from runner.language.apart import keeps_apart
from runner.language.documents import encode_documents, tokens_around
from runner.language.gaps import EVALUATED_SHARE, with_fixed_gaps
from runner.language.likelihood import token_likelihood
from runner.tasks.language import lines_of, rows_of
from runner.tasks.token_losses import doubts
from tests.runner.conftest import Kit
from tests.runner.language.conftest import TEXTS, Make, largest_difference


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_texts_that_share_rows_are_judged_as_if_alone(make: Make, kind: str) -> None:
    model, backbone = make(kind)
    split = encode_documents([TEXTS], backbone.tokenizer, foretells=True, ends=True)
    alone, together = (rows_of(split, backbone.tokenizer, 24, packs=packs) for packs in (False, True))
    assert len(together) < len(alone)
    one = token_likelihood(model, alone, split.n_tokens, 3, None)
    other = token_likelihood(model, together, split.n_tokens, 2, None)
    for a, b in zip(one, other, strict=True):
        assert largest_difference(a, b) < 1e-4
    assert int(np.isnan(one.log_probs).sum()) == len(TEXTS)  # what opens each, and nothing else
    assert keeps_apart(model)


def test_models_that_place_tokens_by_their_mask_are_found_out(make: Make) -> None:
    assert not keeps_apart(make("opt")[0])


def test_it_is_what_transformers_calls_the_loss(make: Make) -> None:
    model, backbone = make("gpt2")
    split = encode_documents([TEXTS[:2]], backbone.tokenizer, foretells=True, ends=False)
    found = token_likelihood(model, rows_of(split, backbone.tokenizer, 24, packs=False), split.n_tokens, 8, None)
    for row in range(2):
        span = slice(split.offsets[row], split.offsets[row + 1])
        ids = torch.from_numpy(split.ids[span].astype(np.int64))[None]
        with torch.inference_mode():
            loss = float(model.backbone(input_ids=ids, labels=ids).loss)
        assert -np.nanmean(found.log_probs[span]) == pytest.approx(loss, rel=1e-4)


def test_the_likeliest_other_token_is_another_one(make: Make) -> None:
    model, backbone = make("gpt2")
    split = encode_documents([TEXTS], backbone.tokenizer, foretells=True, ends=False)
    given, other = token_likelihood(model, rows_of(split, backbone.tokenizer, 24, packs=True), split.n_tokens, 8, None)
    known = ~np.isnan(given)
    assert (np.exp(given[known]) + np.exp(other[known]) <= 1 + 1e-6).all()
    assert (other[known] > given[known]).mean() > 0.5  # of random weights


def test_a_text_without_tokens_and_one_longer_than_the_model(make: Make) -> None:
    model, backbone = make("gpt2")
    texts = ["", "ball", "the moon " * 200]
    split = encode_documents([texts], backbone.tokenizer, foretells=True, ends=False)
    found = token_likelihood(model, rows_of(split, backbone.tokenizer, 24, packs=True), split.n_tokens, 8, None)
    n_judged = [
        int((~np.isnan(found.log_probs[a:b])).sum()) for a, b in zip(split.offsets, split.offsets[1:], strict=False)
    ]
    assert n_judged == [max(n - 1, 0) for n in split.lengths.tolist()]
    assert n_judged[0] == 0
    assert split.labels.tolist() == [0, 4, 1800]


def test_outputs_that_are_no_numbers_are_said(make: Make) -> None:
    model, backbone = make("gpt2")
    split = encode_documents([TEXTS], backbone.tokenizer, foretells=True, ends=False)
    next(model.parameters()).data.fill_(float("nan"))
    with pytest.raises(OutputsBroken):
        token_likelihood(model, rows_of(split, backbone.tokenizer, 24, packs=False), split.n_tokens, 8, None)


def test_doubt_is_the_mean_error_potential_of_an_examples_tokens(make: Make) -> None:
    from evals.triage.tokens import mean_of_tokens, token_error_potential

    model, backbone = make("gpt2", max_length=64)
    split = encode_documents([TEXTS[:2]], backbone.tokenizer, foretells=True, ends=False)
    rows = rows_of(split, backbone.tokenizer, 64, packs=False)
    expected = mean_of_tokens(
        token_error_potential(*token_likelihood(model, rows, split.n_tokens, 8, None)), split.offsets
    )
    batch = to_device(rows([0, 1]), "cpu")
    with torch.inference_mode():
        logits = model(batch)
    counted = batch["targets"] != NO_TARGET
    kept = doubts(logits[counted].float(), batch["targets"][counted], batch["owners"][counted], 2)
    assert (1 - kept.softmax(1)[:, 0]).tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_gaps_are_the_same_each_time_and_in_every_text(kit: Kit) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(kit.tokenizer)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    assert tokens_around(tokenizer) == ([2], [3])
    split = encode_documents([[*TEXTS, ""]], tokenizer, foretells=False, ends=False)
    hidden = with_fixed_gaps(split, tokenizer)
    again = with_fixed_gaps(split, tokenizer)
    assert np.array_equal(hidden.ids, again.ids)
    is_gap = hidden.ids == tokenizer.mask_token_id
    assert hidden.targets is not None
    assert np.array_equal(is_gap, hidden.targets != NO_TARGET)
    assert np.array_equal(hidden.targets[is_gap], split.ids[is_gap])
    counts = [int(is_gap[a:b].sum()) for a, b in zip(split.offsets, split.offsets[1:], strict=False)]
    assert counts == [*(max(1, round(EVALUATED_SHARE * n)) for n in split.lengths[:-1].tolist()), 0]
    batch = lines_of(hidden, tokenizer, 16)([0])
    assert batch["input_ids"][0, 0] == 2
    assert batch["input_ids"].shape == batch["targets"].shape
