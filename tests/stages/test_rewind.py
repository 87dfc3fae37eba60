"""Rewinding, and pruning little by little: what the weights and masks are at every turn."""

import pytest
import torch

from dsee_bench import plan
from dsee_bench.config import ConfigError
from dsee_bench.models.access import weight_of
from dsee_bench.pruning.masks import cubic_sparsity
from dsee_bench.runs import pipeline
from dsee_bench.stages.gradual import Schedule

RUN = ["backbone=tiny-bert", "train.max_rows=64", "train.batch_size=4", "train.epochs=1", "train.retune_epochs=1"]


def test_a_rewound_weight_is_the_pretrained_one_but_for_the_zeros(compose_run, tmp_path):
    settings = compose_run("method=imp", "train.lr_full=1e-2")
    state, _ = pipeline.prepare(settings, tmp_path)
    first = {name: value.clone() for name, value in state.model.named_parameters()}
    zeros = {}
    for name in list(settings.stages)[:-1]:
        pipeline.run_stage(settings, state, name, tmp_path)
        zeros[name] = sum(int((~mask).sum()) for mask in state.masks.values())
        if name.startswith("tune"):
            assert not torch.equal(state.model.classifier.weight, first["classifier.weight"])
        if name.startswith("rewind"):
            masks = {f"{site.path}.weight": mask for site, mask in state.masks.items()}
            assert len(masks) == 13
            for parameter, value in state.model.named_parameters():
                expected = first[parameter] * masks.get(parameter, torch.tensor(True))
                assert torch.equal(value, expected), parameter
    size = sum(weight.size for weight in state.spec.weights)
    assert zeros["prune_1"] == zeros["rewind_1"] == zeros["tune_2"] == round(0.1 * size)
    assert zeros["prune_2"] == round(0.2 * size)


def test_a_second_pruning_keeps_the_zeros_of_the_first(compose_run, tmp_path):
    settings = compose_run("method=imp")
    state, _ = pipeline.prepare(settings, tmp_path)
    for name in ("prune_1", "prune_2"):
        before = {site: ~mask for site, mask in state.masks.items()}
        state.spec = settings.stages[name].plan(state.spec)
        settings.stages[name].run(state)
        assert all((~state.masks[site])[gone].all() for site, gone in before.items())


REFUSED = [
    # stages before,                      the error says
    ("method=dsee", "there is an adapter beside the weights"),
    ("method=full", "nothing is pruned before"),
]


@pytest.mark.parametrize(("method", "message"), REFUSED)
def test_rewinding_where_it_makes_no_sense(compose_run, method, message):
    asked = "+method.stages.rewind={_target_: dsee_bench.stages.rewind.Rewind}"
    with pytest.raises(ConfigError, match=message):
        plan.plan(compose_run(method, asked))


def test_the_share_of_zeros_follows_the_cubic_schedule(compose_run, tmp_path, monkeypatch):
    """64 rows / 4 = 16 steps; all zeros are there after round(0.5 x 16) = 8; masks at steps 3, 6 and 8."""
    settings = compose_run("method=gmp", "method.stages.gradual.every=3", "method.stages.gradual.until=0.5")
    state, _ = pipeline.prepare(settings, tmp_path)
    seen = {}
    weights = {weight.site: weight for weight in state.spec.weights}

    def look(schedule, before, prune=Schedule.__call__):
        seen[before + 1] = {site: mask.clone() for site, mask in state.masks.items()}
        prune(schedule, before)

    def check(*_):
        for site, mask in state.masks.items():
            assert not weight_of(state.model, site)[~mask].any(), f"a zero of {site.path} came back"

    monkeypatch.setattr(Schedule, "__call__", look)  # before the pruning of its step
    state.model.register_forward_pre_hook(check)
    facts = pipeline.run_stage(settings, state, "gradual", tmp_path).facts
    assert [point["step"] for point in facts["schedule"]] == [3, 6, 8]
    size = sum(weight.size for weight in weights.values() if weight.site.kind not in ("query", "value"))
    for step, looked in ((3, 4), (6, 7), (8, 9), (8, 16)):
        masks = [mask for site, mask in seen[looked].items() if site.kind not in ("query", "value")]
        expected = round(0.2 * cubic_sparsity(step, 8, initial=0, final=1) * size)
        assert abs(sum(int((~mask).sum()) for mask in masks) - expected) <= 1
    for site, mask in seen[9].items():
        assert (~mask)[~seen[4][site]].all(), "masks only grow"
    assert sum(facts["sparsity_by_site"].values()) > 0
    assert state.spec.nnz == plan.plan(settings).steps[0].spec.nnz


def test_the_best_weights_of_a_gradual_pruning_have_all_its_zeros(compose_run, tmp_path, monkeypatch):
    """Three epochs of 16 steps; all zeros are there after round(0.4 x 48) = 19, and the first evaluation is at 16."""
    settings = compose_run("method=gmp", "train.epochs=3", "method.stages.gradual.until=0.4")
    state, _ = pipeline.prepare(settings, tmp_path)
    falling = iter((0.9, 0.8, 0.7))
    monkeypatch.setattr("dsee_bench.training.train.metrics_of", lambda *_: lambda _: {"accuracy": next(falling)})
    facts = pipeline.run_stage(settings, state, "gradual", tmp_path).facts
    assert facts["best_step"] == 32
    zeros = sum(int((weight_of(state.model, site)[~mask] == 0).sum()) for site, mask in state.masks.items())
    assert zeros == sum(int((~mask).sum()) for mask in state.masks.values()) > 0


def test_adalora_has_best_weights_after_few_steps_too(compose_run, tmp_path):
    """int(0.3 x 2) = 0 steps with final ranks."""
    settings = compose_run("method=peft/adalora", "train.max_rows=8")
    state, _ = pipeline.prepare(settings, tmp_path)
    for name in settings.stages:
        facts = pipeline.run_stage(settings, state, name, tmp_path).facts
    assert (facts["steps"], facts["best_step"]) == (2, 2)


def test_the_best_weights_of_adalora_are_within_its_budget(compose_run, tmp_path, monkeypatch):
    """Of 48 steps the last int(0.3 x 48) = 14 have the final ranks, 8 in the mean: of three evaluations the last."""
    settings = compose_run("method=peft/adalora", "train.epochs=3")
    state, _ = pipeline.prepare(settings, tmp_path)
    falling = iter((0.9, 0.8, 0.7))
    monkeypatch.setattr("dsee_bench.training.train.metrics_of", lambda *_: lambda _: {"accuracy": next(falling)})
    for name in settings.stages:
        facts = pipeline.run_stage(settings, state, name, tmp_path).facts
    assert facts["best_step"] == 48
    values = [value for name, value in state.model.named_parameters() if ".lora_E." in name]
    assert sum(int(value.count_nonzero()) for value in values) == 8 * len(values)


def test_masks_of_a_stopped_tuning_come_back_on_the_cpu(compose_run, tmp_path):
    """Scores are taken on the CPU, so the masks they are held against must be there, wherever the model is."""
    settings = compose_run("method=gmp")
    state, _ = pipeline.prepare(settings, tmp_path)
    weight = state.spec.weights[0]
    state.model.to("meta")  # a device that is not the CPU, without one
    schedule = Schedule(settings.stages["gradual"].prune, state, every=1, last=2)
    schedule.load_state_dict({weight.site.path: torch.ones(weight.outputs, weight.inputs, dtype=torch.bool)})
    assert state.masks[weight.site].device.type == "cpu"


GRADUAL = [
    # settings of the stage,                  the error says
    ("every=0", r"gradual\.every must be at least 1, got 0"),
    ("until=1.5", r"until must lie in \(0, 1\]"),
    ("prune.scope=2:4 method.stages.gradual.prune.sparsity=0.5", "has no shares between"),
    ("prune.sparsity=1", r"sparsity must lie in \[0, 1\)"),
]


@pytest.mark.parametrize(("asked", "message"), GRADUAL)
def test_gradual_pruning_refuses(compose_run, asked, message):
    with pytest.raises(ConfigError, match=message):
        compose_run("method=gmp", *f"method.stages.gradual.{asked}".split())
