"""What the loss would miss without a head or a neuron, against factors that are really differentiated; its use."""

import gc
import random
import weakref
from functools import partial

import pytest
import torch

from dsee_bench import config
from dsee_bench.models.access import module_at, weight_of
from dsee_bench.pruning.calibration import input_losses
from dsee_bench.runs import pipeline
from dsee_bench.training.batch import collator, encode

RUN = ["train.max_rows=32", "train.batch_size=8"]

TASK = {"tiny-gpt2": "toy_d2t", "tiny-llama": "toy_d2t"}  # else: toy_sentences
KINDS = "[query, value, out, ffn_in, ffn_out]"  # of an adapter, so that it must be scored with what it is beside


def prepared(compose_run, name, folder, *overrides):
    """The state of dsee_structured before its `narrow` stage, with an adapter that is not zero."""
    task = TASK.get(name, "toy_sentences")
    settings = compose_run(f"backbone={name}", f"task={task}", "method=dsee_structured", *overrides)
    state, _ = pipeline.prepare(settings, folder)
    for stage in ("low_rank", "sparse"):
        pipeline.run_stage(settings, state, stage, folder)
    torch.manual_seed(1)
    for path, parameter in state.model.named_parameters():
        if "dsee_u" in path or "dsee_s2" in path:
            torch.nn.init.normal_(parameter, std=0.1)
    return settings, state


def groups_of(state):
    size = state.spec.head_size * state.spec.queries_per_key
    return {
        weight.site: weight.inputs // (size if weight.site.kind == "out" else 1)
        for weight in state.spec.weights
        if weight.site.kind in ("out", "ffn_out")
    }


def scale(factors, site, groups, _, arguments):
    """A forward pre-hook: the input times a factor of one for each row, token and group, which is kept."""
    x = arguments[0]
    factors[site] = torch.ones(*x.shape[:-1], groups, dtype=x.dtype, requires_grad=True)
    return x * factors[site].repeat_interleave(x.shape[-1] // groups, dim=-1), *arguments[1:]


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-deberta-v2", "tiny-gpt2", "tiny-llama"])
def test_derivative_of_a_factor_on_each_token(compose_run, name, tmp_path):
    """Autograd's derivatives of such factors, their absolute values summed.

    The model is in float64, the scores are summed in float32: a group has at most 16 features, 16 rows at most 40
    tokens, so their sums round by less than 656 x 2^-24 = 4e-5 of the largest.
    """
    _, state = prepared(compose_run, name, tmp_path, f"method.stages.low_rank.kinds={KINDS}")
    state.model.double()
    groups = groups_of(state)
    found = input_losses(state.model, groups, state.losses(2))
    assert not any(parameter.grad is not None for parameter in state.model.parameters())

    drawn = random.Random(state.seed).sample(state.data["train"].examples, 16)
    rows = encode(drawn, state.setup.tokenizer, state.setup.recipe.max_length)
    state.model.eval()
    expected = dict.fromkeys(groups, 0)
    for start in (0, 8):
        factors = dict.fromkeys(groups)
        hooks = [
            module_at(state.model, site).register_forward_pre_hook(partial(scale, factors, site, count))
            for site, count in groups.items()
        ]
        state.model(**collator(state.setup.tokenizer)(rows[start : start + 8])).loss.backward()
        for hook in hooks:
            hook.remove()
        for site, factor in factors.items():
            expected[site] = expected[site] + factor.grad.abs().flatten(0, -2).sum(0)
    for site in groups:
        assert expected[site].max() > 1e-6
        close = {"rtol": 0, "atol": 4e-5 * float(expected[site].max())}
        torch.testing.assert_close(found[site].double(), expected[site], **close)


def test_a_batch_is_let_go_before_the_next_but_one(compose_run, tmp_path):
    """What a batch left would else pile up until Python looks for cycles: 8 batches of BERT-base were 13 GB."""
    _, state = prepared(compose_run, "tiny-bert", tmp_path)
    groups = groups_of(state)
    seen = []

    def watched():
        for loss in state.losses(3):
            seen.append([])
            yield loss

    def see(_, arguments):
        seen[-1].append(weakref.ref(arguments[0]))

    gc.collect()
    gc.disable()
    seen.append([])
    hooks = [module_at(state.model, site).register_forward_pre_hook(see, prepend=True) for site in groups]
    try:
        input_losses(state.model, groups, watched())
    finally:
        gc.enable()
        for hook in hooks:
            hook.remove()
    assert [len(batch) for batch in seen] == [len(groups)] * 3 + [0]
    assert not any(ref() is not None for batch in seen for ref in batch)


def test_what_nothing_reads_goes_first(compose_run, tmp_path):
    """Heads and neurons whose columns of the weight out are zero are those that are removed."""
    settings, state = prepared(compose_run,
        "tiny-bert", tmp_path, "method.stages.low_rank.kinds=[query,value]",  # no adapter reads the columns either
        *(f"method.stages.narrow.{item}" for item in ("score=gradient", "score_ffn=gradient", "batches=1")),
    )  # fmt: skip
    dead = {"out": slice(8, 16), "ffn_out": slice(16, 32)}  # head 1 of 4; a quarter of 64 neurons
    kept = {}
    for weight in state.spec.weights:
        if weight.site.kind in dead:
            matrix = weight_of(state.model, weight.site)
            alive = torch.ones(weight.inputs, dtype=torch.bool)
            alive[dead[weight.site.kind]] = False
            matrix[:, ~alive] = 0
            kept[weight.site] = matrix[:, alive].clone()
    pipeline.run_stage(settings, state, "narrow", tmp_path)
    assert len(kept) == 4
    for site, expected in kept.items():
        assert torch.equal(weight_of(state.model, site), expected)


def test_without_batches_it_is_refused(compose_run):
    with pytest.raises(config.ConfigError, match=r"is read off training batches; set batches, as batches=8"):
        compose_run(
            "backbone=tiny-bert", "task=toy_sentences", "method=dsee_structured",
            "method.stages.narrow.score=gradient", "method.stages.narrow.batches=null",
        )  # fmt: skip
