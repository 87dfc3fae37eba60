"""Memory by formula against what torch measures, for every model type that a family knows and for several batches."""

import pytest
from measured_memory import allocated, answering, batch, saved, stored, tuned, tuning_step
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.models.checkpointing import make_checkpointable
from dsee_bench.models.families import families
from dsee_bench.models.memory import Use, inference, training

SIZES = ["backbone.layers=4", "backbone.hidden=128", "backbone.ffn=512", "backbone.heads=4", "device=cpu"]
SHAPES = [(8, 64), (2, 256), (32, 16)]  # rows and tokens
WITHIN = 0.15
FILES = [OmegaConf.load(path) for path in sorted((config.CONF / "backbone").glob("tiny-*.yaml"))]
# The options that a model type's numbers are taken from: its own, or one of its family.
NEAREST = {
    name: min(
        (file for file in FILES if file._target_.endswith(f".{family.__name__}")),
        key=lambda file: file.model_type != name,
    )
    for name, family in families().items()
}
TASKS = [
    (name, task)
    for name, family in sorted(families().items())
    for task in ("toy_pairs", "toy_d2t")
    if task == "toy_pairs" or family.generates
]


def words(model_type, task, method):
    return [f"backbone={NEAREST[model_type].name}", f"backbone.model_type={model_type}", *SIZES, f"task={task}",
            f"method={method}"]  # fmt: skip


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("model_type", sorted(families()))
def test_activations_of_every_family(model_type, method, compose_run, tmp_path):
    settings = compose_run(*words(model_type, "toy_pairs", method))
    state = tuned(settings, tmp_path)
    model = state.model.train()
    assert model.config.model_type == model_type
    for rows, tokens in SHAPES:
        expected = training(state.spec, settings.backbone.dimensions, Use(rows, tokens, False, on_cpu=True))
        found = saved(model, batch(settings, rows, tokens))
        assert expected.activations == pytest.approx(found, rel=WITHIN), (rows, tokens)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "dsee"])
@pytest.mark.parametrize(("model_type", "task"), TASKS)
def test_tuning_and_answering_of_every_family(model_type, task, method, compose_run, tmp_path):
    settings = compose_run(*words(model_type, task, method))
    state = tuned(settings, tmp_path)
    model, dimensions = state.model, settings.backbone.dimensions
    drops = any(map(plan.has_dropout, settings.stages.values()))
    for checkpointing in (False, True):
        model.train()
        if checkpointing:
            make_checkpointable(model)
            model.activation_checkpointing_enable({"use_reentrant": False})
        for rows, tokens in SHAPES:
            use = Use(rows, tokens, False, on_cpu=True, checkpointing=checkpointing, adapter_dropout=drops)
            expected = training(state.spec, dimensions, use)
            step, moments = tuning_step(model, batch(settings, rows, tokens))
            found = stored(model) + moments + allocated(step)
            assert expected.peak == pytest.approx(found, rel=WITHIN), (checkpointing, rows, tokens)
    for rows, tokens in SHAPES:
        answer = answering(model.eval(), batch(settings, rows, tokens))
        expected = inference(state.spec, dimensions, Use(rows, tokens, False, on_cpu=True))
        assert expected.peak == pytest.approx(stored(model) + allocated(answer), rel=WITHIN), (rows, tokens)
