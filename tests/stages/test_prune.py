"""Masks on a real tiny model: exact counts whatever competes, scores from data, and zeros that outlive a merge."""

import random
from dataclasses import replace

import pytest
import torch

from dsee_bench import plan
from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.cache.store import Cache
from dsee_bench.config import ConfigError
from dsee_bench.deploy import measure
from dsee_bench.models.access import module_at, weight_of
from dsee_bench.pruning.calibration import input_norms
from dsee_bench.runs import pipeline
from dsee_bench.stages.tune import Tune

RUN = ["backbone=tiny-bert", "train.max_rows=64"]

TEXTS = ["a small test", "of two rows, the second a good deal longer than the first"]


def pruned(compose_run, folder, *overrides):
    """The state after every stage but the tunings, with an adapter that is not zero."""
    settings = compose_run(*overrides)
    state, _ = pipeline.prepare(settings, folder)
    logs = []
    for name, stage in settings.stages.items():
        if not isinstance(stage, Tune):
            if name == "prune":
                fill_updates(state)
            logs.append(pipeline.run_stage(settings, state, name, folder))
    return settings, state, logs


def fill_updates(state):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in state.model.named_parameters():
            if "dsee_u" in name or "dsee_s2" in name:
                parameter.normal_(std=0.1)


def logits(state):
    state.model.eval()
    with torch.no_grad():
        return state.model(**state.setup.tokenizer(TEXTS, TEXTS[::-1], padding=True, return_tensors="pt")).logits


def pool(state, *kinds):
    return [weight for weight in state.spec.weights if weight.site.kind in kinds]


COUNTS = [
    # settings of the prune stage,                        what is exact
    ("sparsity=0.3", "pool"),
    ("scope=weight sparsity=0.3", "weight"),
    ("scope=row sparsity=0.3", "row"),
    ("scope=2:4 sparsity=0.5", "group"),
    ("score=wanda score_rest=wanda batches=1 scope=row sparsity=0.3", "row"),
    ("score=gradient score_rest=gradient batches=1 sparsity=0.3", "pool"),
    ("score=update mask_adapter=true sparsity=0.3", "pool"),
]


@pytest.mark.parametrize(("settings", "exact"), COUNTS)
def test_counts_are_exact_and_as_planned(compose_run, settings, exact, tmp_path):
    asked = [f"method.stages.prune.{item}" for item in settings.split()]
    planned = plan.plan(compose_run("method=dsee", *asked)).steps[3].spec
    _, state, _ = pruned(compose_run, tmp_path, "method=dsee", *asked)
    for kinds in (("query", "value"), ("key", "out", "ffn_in", "ffn_out", "pooler")):
        weights = pool(state, *kinds)
        expected = [weight for weight in planned.weights if weight.site.kind in kinds]
        assert sum(w.nnz for w in weights) == sum(w.nnz for w in expected)
        for weight, as_planned in zip(weights, expected, strict=True):
            kept = weight_of(state.model, weight.site) != 0
            assert int(kept.sum()) == weight.nnz
            if exact != "pool":
                assert weight.nnz == as_planned.nnz
            if exact == "row":
                assert (kept.sum(1) == weight.inputs - round(0.3 * weight.inputs)).all()
            if exact == "group":
                assert (kept.view(-1, 4).sum(1) == 2).all()


def test_wanda_sees_the_tokens_and_not_the_padding(compose_run, tmp_path):
    """The input of layer 0's query is the embeddings' output, so its mean square can be taken by hand."""
    from dsee_bench.training.batch import collator, encode

    settings = compose_run("method=full", "task=toy_sentences")
    state, _ = pipeline.prepare(settings, tmp_path)
    state.model.double()
    weight = state.spec.weights[0]
    norms = input_norms(state.model, [weight.site], state.losses(2))[weight.site]
    drawn = random.Random(state.seed).sample(state.data["train"].examples, 64)
    rows = encode(drawn, state.setup.tokenizer, state.setup.recipe.max_length)
    state.model.eval()
    squares, tokens = torch.zeros(32, dtype=torch.float64), 0
    for start in (0, 32):
        batch = collator(state.setup.tokenizer)(rows[start : start + 32])
        assert not batch["attention_mask"].all()  # there is padding to leave out
        with torch.no_grad():
            x = state.model.bert.embeddings(batch["input_ids"], batch["token_type_ids"])
        seen = x[batch["attention_mask"].bool()]
        squares, tokens = squares + seen.square().sum(0), tokens + len(seen)
    # The norms are summed in float32: n positive terms round by less than n x 2^-24 of their sum, the root by half.
    torch.testing.assert_close(norms.double(), (squares / tokens).sqrt(), rtol=tokens * 2**-24, atol=0)


def test_a_batch_as_long_as_the_hidden_size_is_told_from_the_poolers_input(compose_run, tmp_path):
    """The pooler sees (rows, 32); of 32 tokens a row, the mask has that shape too."""
    settings = compose_run("method=full", "train.max_length=32")
    state, _ = pipeline.prepare(settings, tmp_path)
    example = state.data["train"].examples[0]
    long = replace(example, texts=("word " * 40, "word"))
    state.data["train"] = replace(state.data["train"], examples=(long, *state.data["train"].examples[1:32]))
    weight = next(weight for weight in state.spec.weights if weight.site.kind == "pooler")
    seen = []
    hook = module_at(state.model, weight.site).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    norms = input_norms(state.model, [weight.site], state.losses(1))[weight.site]
    hook.remove()
    assert seen[0].shape == (32, 32)
    torch.testing.assert_close(norms.double(), seen[0].double().square().mean(0).sqrt(), rtol=32 * 2**-24, atol=0)


def test_a_second_pruning_gives_no_weight_back(compose_run, tmp_path):
    """One shot over the pool, then half of each row: a row that had lost more keeps its zeros."""
    settings, state, _ = pruned(compose_run, tmp_path, "method=omp", "method.stages.prune.sparsity=0.5")
    gone = {site: ~mask for site, mask in state.masks.items()}
    stage = replace(settings.stages["prune"], scope="row")
    state.spec = stage.plan(state.spec)
    stage.run(state)
    for weight in state.spec.weights:
        mask = state.masks[weight.site]
        assert not mask[gone[weight.site]].any()
        assert int(mask.sum()) == weight.nnz == int(weight_of(state.model, weight.site).count_nonzero())


def test_scores_from_data_leave_the_model_as_it_was(compose_run, tmp_path):
    settings = compose_run("method=wanda")
    state, _ = pipeline.prepare(settings, tmp_path)
    before = {name: (value.clone(), value.requires_grad) for name, value in state.model.named_parameters()}
    state.spec = settings.stages["prune"].plan(state.spec)
    settings.stages["prune"].masks(state)
    for name, value in state.model.named_parameters():
        assert torch.equal(value, before[name][0])
        assert value.grad is None
    assert not any(module._forward_pre_hooks for module in state.model.modules())


def test_the_merged_weight_keeps_its_zeros_under_mask_update(compose_run, tmp_path):
    settings, state, _ = pruned(compose_run, tmp_path, "method=dsee", "method.stages.prune.mask_adapter=true")
    dense = settings.backbone.spec(settings.labels)
    costs = {
        cost.name: cost.value
        for cost in measure.costs(state.model, state.adapters, state.spec, dense, state.masks, 128)
    }
    assert costs["sparsity_merged"] == costs["sparsity_masked"] == pytest.approx(0.2, abs=1e-4)
    state.model.double()
    before = logits(state)
    for weight in pool(state, "query", "value"):
        module_at(state.model, weight.site).merge()
        assert int(weight_of(state.model, weight.site).count_nonzero()) == weight.nnz
    torch.testing.assert_close(logits(state), before, rtol=0, atol=1e-10)
    assert all(weight.merges for weight in pool(state, "query", "value"))


def test_a_mask_on_w_alone_is_filled_by_the_merge(compose_run, tmp_path):
    settings, state, _ = pruned(compose_run, tmp_path, "method=dsee")
    dense = settings.backbone.spec(settings.labels)
    costs = {
        cost.name: cost.value
        for cost in measure.costs(state.model, state.adapters, state.spec, dense, state.masks, 128)
    }
    rest = pool(state, "key", "out", "ffn_in", "ffn_out", "pooler")
    expected = sum(w.size - w.nnz for w in rest) / sum(w.size for w in state.spec.weights)
    assert costs["sparsity_masked"] == pytest.approx(0.2, abs=1e-4)
    assert costs["sparsity_merged"] == pytest.approx(expected, abs=1e-9)
    assert costs["sparsity_model"] < costs["sparsity_masked"] / 10  # the vocabulary is most of this model


def test_a_masked_update_trains_where_it_may(compose_run, tmp_path):
    _, state, _ = pruned(compose_run, tmp_path, "method=dsee", "method.stages.prune.mask_adapter=true")
    weight = pool(state, "query")[0]
    layer, mask = module_at(state.model, weight.site), state.masks[weight.site]
    batch = state.setup.tokenizer(TEXTS, padding=True, return_tensors="pt")
    state.model(**batch, labels=torch.tensor([0, 1])).loss.backward()
    rows, columns = layer.dsee_positions[ADAPTER].long()
    gradient = layer.dsee_s2[ADAPTER].grad
    assert (gradient[~mask[rows, columns]] == 0).all()
    assert gradient[mask[rows, columns]].abs().sum() > 0
    assert layer.dsee_u[ADAPTER].grad.abs().sum() > 0


def test_a_cached_state_brings_the_masks_of_the_update_back(compose_run, tmp_path):
    settings, state, logs = pruned(compose_run, tmp_path, "method=dsee", "method.stages.prune.mask_adapter=true")
    (tmp_path / "states").mkdir()
    cache = Cache(tmp_path / "states", settings.stages, {})
    cache.save("key", state, logs)
    again, _ = pipeline.prepare(settings, tmp_path)
    cache.restore_latest(["key"], again)
    assert torch.equal(logits(again), logits(state))
    assert again.spec == state.spec


REFUSED = [
    # method,    settings,                                       the error says
    ("dsee", "scope=2:4", r"zeroes 0\.5 of a pool, got sparsity 0\.2; set sparsity=0\.5"),
    ("dsee", "score=wanda", "is read off training batches; set batches, as batches=8"),
    ("omp", "mask_adapter=true", "masks the adapter, but there is none"),
    ("omp", "score=update", "ranks by the adapter, but there is none"),
    ("omp", "sparsity=1", r"sparsity must lie in \[0, 1\), got 1"),
    ("omp", "kinds_rest=[query]", "kinds_qv and kinds_rest both name query"),
    ("omp", "kinds_qv=[] kinds_rest=[]", "no site of kind"),
]


@pytest.mark.parametrize(("method", "settings", "message"), REFUSED)
def test_refused(compose_run, method, settings, message):
    asked = [f"method.stages.prune.{item}" for item in settings.split()]
    with pytest.raises(ConfigError, match=message):
        plan.plan(compose_run(f"method={method}", *asked))


def test_n_of_m_leaves_a_pool_dense_where_asked(compose_run, tmp_path):
    asked = ["scope=2:4", "sparsity=0.5", "sparsity_qv=0"]
    _, state, _ = pruned(compose_run, tmp_path, "method=dsee", *[f"method.stages.prune.{item}" for item in asked])
    assert all(weight.nnz == weight.size for weight in pool(state, "query", "value"))
    assert all(2 * weight.nnz == weight.size for weight in pool(state, "key", "ffn_in"))
