"""Where sparse entries sit, on a real (tiny) model: counts, determinism, and the gradient against autograd's own."""

import random

import pytest
import torch

from dsee_bench.models.access import module_at, pretrained_module
from dsee_bench.pruning.calibration import weight_gradients
from dsee_bench.pruning.placement import choose_positions
from dsee_bench.runs import pipeline


@pytest.fixture
def state(compose_run, tmp_path):
    chosen = ["backbone=tiny-bert", "method=dsee_update", "method.stages.low_rank.rank=4", "train.batch_size=8"]
    settings = compose_run(*chosen)
    state, _ = pipeline.prepare(settings, tmp_path)
    state.spec = settings.stages["low_rank"].plan(state.spec)
    settings.stages["low_rank"].run(state)
    return state


def chosen(state, where):
    """Nine positions in each query and value weight."""
    weights = [weight for weight in state.spec.weights if weight.site.kind in ("query", "value")]
    return choose_positions(state.model, weights, where, 9, seed=state.seed, losses=state.losses(2))


@pytest.mark.parametrize("where", ["decomposition", "magnitude", "random", "gradient"])
def test_exactly_k_positions_and_the_same_again(state, where):
    first, again = (chosen(state, where) for _ in range(2))
    assert len(first) == 4
    for site in first:
        assert len(first[site].unique()) == 9
        assert torch.equal(first[site], again[site])


def test_random_positions_differ_by_weight_and_by_seed(state):
    sites = state.spec.pick(["query", "value"])
    first = chosen(state, "random")
    assert not torch.equal(first[sites[0]], first[sites[1]])
    state.seed += 1
    assert not torch.equal(first[sites[0]], chosen(state, "random")[sites[0]])


def test_gradient_is_autograds_and_leaves_the_model_as_it_was(state):
    sites = state.spec.pick(["value"])
    trained = {name for name, value in state.model.named_parameters() if value.requires_grad}
    state.model.double()
    found = weight_gradients(state.model, sites, state.losses(1))
    assert {name for name, value in state.model.named_parameters() if value.requires_grad} == trained
    assert all(value.grad is None for value in state.model.parameters())

    from dsee_bench.training.batch import collator, encode

    drawn = random.Random(state.seed).sample(state.data["train"].examples, 8)
    rows = encode(drawn, state.setup.tokenizer, state.setup.recipe.max_length)
    weight = pretrained_module(state.model, sites[0]).weight.requires_grad_(True)
    loss = state.model.eval()(**collator(state.setup.tokenizer)(rows)).loss
    (expected,) = torch.autograd.grad(loss, weight)
    assert torch.equal(found[sites[0]], expected.float()), "the same sums"
    assert expected.abs().max() > 0


def test_the_layers_get_the_positions(state):
    from dsee_bench.stages.attach import SparseEntries

    stage = SparseEntries(num_entries=9, placement="magnitude", batches=1)
    state.spec = stage.plan(state.spec)
    stage.run(state)
    for weight in state.spec.weights:
        if weight.num_entries:
            layer = module_at(state.model, weight.site)
            largest = layer.base_layer.weight.abs().flatten().topk(9).indices.sort().values
            rows, columns = layer.dsee_positions["default"].long()
            assert torch.equal((rows * weight.inputs + columns).sort().values, largest)
            assert not layer.dsee_s2["default"].any()
