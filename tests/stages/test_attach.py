"""PEFT's methods as stages: what they train is what the plan counts, and they start alike on every way to them."""

import pytest
import torch

from dsee_bench import plan
from dsee_bench.config import ConfigError
from dsee_bench.runs import pipeline
from dsee_bench.stages.generic_start import GenericStart

RUN = ["backbone=tiny-bert", "train.max_rows=32"]


REFUSED = [
    # overrides,                                                     the error says
    ("method=lora_omp method.stages.prune.score=update", "score=update .* needs the DSEE adapter .* not LORA"),
    ("method=lora_omp method.stages.prune.mask_adapter=true", "mask_adapter=true .* DSEE adapter .* not LORA"),
    ("method=lora method.stages.lora.type=ADALORA", r"ADALORA needs settings.init_r"),
    ("method=lora +method.stages.lora.settings.bias=all", "settings.bias=all has no effect here"),
    ("method=peft/ia3 method.stages.ia3.type=LORA", r"LORA needs settings.r"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_refused_before_anything_is_tuned(compose_run, overrides, message):
    with pytest.raises(ConfigError, match=message):
        plan.plan(compose_run(*overrides.split()))


def test_what_the_plan_does_not_count_is_refused(compose_run, tmp_path):
    settings = compose_run("method=lora", "+method.stages.lora.settings.use_dora=true")
    state, _ = pipeline.prepare(settings, tmp_path)
    with pytest.raises(ValueError, match="trains 4,224 numbers, the plan counts 4,096"):  # DoRA: O more a weight
        pipeline.run_stage(settings, state, "lora", tmp_path)


def test_an_update_after_a_tuning_starts_alike_whatever_was_drawn_before(compose_run, tmp_path):
    """A run that takes the tuning from a cached state has not drawn what the tuning draws."""
    settings = compose_run("method=full")
    lora = compose_run("method=lora").stages["lora"]
    starts = []
    for drawn in (0, 5):
        state, _ = pipeline.prepare(settings, tmp_path)
        state.spec = lora.plan(settings.stages["tune"].plan(state.spec))
        torch.rand(drawn)
        lora.run(state)
        starts.append({name: value for name, value in state.model.named_parameters() if "lora_A" in name})
    assert starts[0].keys() == starts[1].keys() != set()
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items())


def test_a_random_start_is_for_the_dsee_adapter(compose_run):
    """LoRA has a rank, too, but no U and S2 of this name."""
    settings = compose_run("method=lora", "backbone=tiny-bert")
    spec = settings.stages["lora"].plan(settings.backbone.spec(2))
    with pytest.raises(ValueError, match="there is no DSEE adapter to start; put low_rank and sparse stages before"):
        GenericStart(u=True, s2=True, std=0.02).plan(spec)
