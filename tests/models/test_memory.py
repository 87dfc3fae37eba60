"""Memory by formula against what torch measures: tensors saved for the backward, and the profiler's allocations."""

import json

import pytest
import torch
from measured_memory import allocated, answering, batch, saved, stored, tuned, tuning_step

from dsee_bench import plan
from dsee_bench.models.memory import Use, inference, training
from dsee_bench.plan import text as plan_text
from dsee_bench.system import hardware
from dsee_bench.training.evaluate import use_bf16

ROWS, TOKENS = 8, 64
SIZES = ["backbone.layers=4", "backbone.hidden=128", "backbone.ffn=512", "backbone.heads=4", "device=cpu"]
WITHIN = 0.15


FAMILIES = [("tiny-bert", "toy_pairs"), ("tiny-gpt2", "toy_d2t"), ("tiny-llama", "toy_pairs")]
METHODS = ["full", "lora", "dsee", "dsee_structured"]
WAYS = [
    # autocast, backbone.dtype, gradient checkpointing
    (False, "float32", False),
    (True, "float32", False),
    (False, "float32", True),
    (True, "bfloat16", False),
]


def cases():
    for family, task in FAMILIES:
        for method in METHODS:
            for bf16, dtype, checkpointing in WAYS:
                if method != "full" or dtype == "float32":
                    yield family, task, method, bf16, dtype, checkpointing


@pytest.mark.parametrize(("family", "task", "method", "bf16", "dtype", "checkpointing"), [*cases()])
def test_a_step_takes_what_the_formula_says(family, task, method, bf16, dtype, checkpointing, compose_run, tmp_path):
    words = [f"backbone={family}", f"task={task}", f"method={method}", f"backbone.dtype={dtype}"]
    settings = compose_run(*SIZES, *words)
    state = tuned(settings, tmp_path)
    model, inputs = state.model.train(), batch(settings, ROWS, TOKENS)
    use = Use(ROWS, TOKENS, bf16, on_cpu=True, checkpointing=checkpointing,
              adapter_dropout=any(map(plan.has_dropout, settings.stages.values())))  # fmt: skip
    expected = training(state.spec, settings.backbone.dimensions, use)
    assert expected.weights == pytest.approx(stored(model), rel=WITHIN)
    assert expected.gradients == sum(4 * value.numel() for value in model.parameters() if value.requires_grad)
    if not checkpointing:
        assert expected.activations == pytest.approx(saved(model, inputs, bf16), rel=WITHIN)
    else:
        model.activation_checkpointing_enable({"use_reentrant": False})
    step, moments = tuning_step(model, inputs, bf16)
    assert expected.optimizer == pytest.approx(moments, rel=0.01)
    assert expected.peak == pytest.approx(stored(model) + moments + allocated(step), rel=WITHIN)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("method", ["full", "dsee"])
@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_answering_takes_what_the_formula_says(family, task, method, bf16, compose_run, tmp_path):
    settings = compose_run(*SIZES, f"backbone={family}", f"task={task}", f"method={method}")
    state = tuned(settings, tmp_path)
    answer = answering(state.model.eval(), batch(settings, 64, TOKENS), bf16)
    expected = inference(state.spec, settings.backbone.dimensions, Use(64, TOKENS, bf16, on_cpu=True))
    assert expected.peak == pytest.approx(stored(state.model) + allocated(answer), rel=WITHIN)


def test_the_plan_has_the_tuning_that_needs_the_most(compose_run):
    planned = plan.plan(compose_run("method=dsee_structured", "backbone=minilm", "task=toy_pairs", "device=cpu"))
    found = json.loads(plan_text.as_json(planned))
    peaks = [stage["memory"]["peak"] for stage in found["stages"] if stage["memory"]]
    assert len(peaks) == 2
    assert found["memory"]["training"]["peak"] == max(peaks) == peaks[0], "before heads and neurons are removed"
    assert found["memory"]["inference"]["peak"] > found["memory"]["inference"]["weights"]
    assert "Memory, by formula" in plan_text.as_text(planned)
    half = plan.plan(compose_run("method=lora", "backbone=minilm", "backbone.dtype=bfloat16", "device=cpu"))
    whole = plan.plan(compose_run("method=lora", "backbone=minilm", "device=cpu"))
    assert half.inference.weights == pytest.approx(whole.inference.weights / 2, rel=0.02)
    assert plan.plan(compose_run("method=untuned")).largest is None


def test_with_fsdp_a_plan_is_that_of_one_process(compose_run, monkeypatch):
    """BERT-base has 109,483,778 parameters, 1,538 of them its head's, and LoRA adds 24 x 16 x (768 + 768)."""
    words = ["method=lora", "backbone=bert-base", "task=rte", "train.batch_size=32", "device=cpu"]
    total, adapter, head = 109_483_778 + 589_824, 589_824, 1_538
    monkeypatch.setenv("WORLD_SIZE", "4")
    plain = plan.plan(compose_run(*words))
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    planned = plan.plan(compose_run(*words))
    memory, whole = planned.largest, plain.largest
    assert planned.tuning.rows == plain.tuning.rows == 32 / 4
    assert (memory.weights, whole.weights) == (4 * total + total, 4 * total), "whole, and a quarter of it"
    assert (memory.gradients, whole.gradients) == (adapter + head, 4 * (adapter + head))
    assert (memory.optimizer, whole.optimizer) == (2 * (adapter + head), 8 * (adapter + head))
    assert memory.activations == whole.activations, "each process has those of its own rows"
    words_and_positions = (30_522 + 512 + 2) * 768
    assert whole.gathered == 0
    assert memory.gathered == 4 * (words_and_positions + adapter // 12), "more than two layers"
    assert planned.inference == plain.inference, "the tunings alone are sharded"
    assert "one of 4 processes with FSDP" in plan_text.as_text(planned)
    assert json.loads(plan_text.as_json(planned))["memory"]["training_batch"]["shards"] == 4
    assert "gathered" not in plan_text.as_text(plain)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert plan.plan(compose_run(*words)).tuning.shards == 1, "one process shares nothing"


def test_a_plan_knows_the_processor_that_torch_knows():
    assert hardware.multiplies_bf16() == use_bf16("auto", "cpu")
    assert hardware.has_gpu() == torch.cuda.is_available()
