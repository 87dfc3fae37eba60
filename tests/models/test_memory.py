"""Memory by formula against what torch measures: tensors saved for the backward, and the profiler's allocations."""

import json

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from dsee_bench import plan
from dsee_bench.models.memory import Use, inference, training
from dsee_bench.plan import text as plan_text
from dsee_bench.runs import pipeline
from dsee_bench.stages.attach import SparseEntries
from dsee_bench.stages.tune import Tune, choose_trainable
from dsee_bench.system import hardware
from dsee_bench.training.evaluate import use_bf16

ROWS, TOKENS = 8, 64
SIZES = ["backbone.layers=4", "backbone.hidden=128", "backbone.ffn=512", "backbone.heads=4", "device=cpu"]
WITHIN = 0.15


def tuned(compose_run, tmp_path, *words):
    """The settings and state of a run in its last tuning, with nothing trained."""
    settings = compose_run(*SIZES, *words)
    state, _ = pipeline.prepare(settings, tmp_path)
    for name, stage in settings.stages.items():
        state.stage, state.spec = name, stage.plan(state.spec)
        if isinstance(stage, Tune):
            choose_trainable(state, stage.parameters)
        elif isinstance(stage, SparseEntries):
            stage.restore(state, {})
        else:
            stage.run(state)
    return settings, state


def batch(settings, rows=ROWS):
    ids = torch.randint(5, 90, (rows, TOKENS), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    labels = ids if settings.labels is None else torch.zeros(rows, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def saved(model, inputs, bf16):
    """Bytes of the tensors that a forward pass saves, parameters and buffers not counted."""
    own = {value.untyped_storage().data_ptr() for value in [*model.parameters(), *model.buffers()]}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autocast("cpu", torch.bfloat16, enabled=bf16), saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(**inputs).loss
    del loss
    return sum(found.values())


def allocated(step):
    """The most bytes that are allocated at once while `step` runs, beyond those of before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    assert most > 0
    return most


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
    settings, state = tuned(compose_run, tmp_path, *words)
    model, inputs = state.model.train(), batch(settings)
    use = Use(ROWS, TOKENS, bf16, on_cpu=True, checkpointing=checkpointing,
              adapter_dropout=any(map(plan._drops, settings.stages.values())))  # fmt: skip
    expected = training(state.spec, settings.backbone.dimensions, use)
    trained = [value for value in model.parameters() if value.requires_grad]
    stored = sum(value.nbytes for value in [*model.parameters(), *model.buffers()])
    assert expected.weights == pytest.approx(stored, rel=WITHIN)
    assert expected.gradients == sum(4 * value.numel() for value in trained)
    if not checkpointing:
        assert expected.activations == pytest.approx(saved(model, inputs, bf16), rel=WITHIN)
    else:
        model.activation_checkpointing_enable({"use_reentrant": False})
    optimizer = torch.optim.AdamW(trained, fused=True)  # as transformers' Trainer has it

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    moments = sum(value.nbytes for values in optimizer.state.values() for value in values.values())
    assert expected.optimizer == pytest.approx(moments, rel=0.01)
    assert expected.peak == pytest.approx(stored + moments + allocated(step), rel=WITHIN)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("method", ["full", "dsee"])
@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_answering_takes_what_the_formula_says(family, task, method, bf16, compose_run, tmp_path):
    settings, state = tuned(compose_run, tmp_path, f"backbone={family}", f"task={task}", f"method={method}")
    model, inputs = state.model.eval(), batch(settings, 64)

    def answer():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.no_grad():
            model(**inputs)

    answer()
    expected = inference(state.spec, settings.backbone.dimensions, Use(64, TOKENS, bf16, on_cpu=True))
    assert expected.peak == pytest.approx(sum(value.nbytes for value in model.parameters()) + allocated(answer),
                                          rel=WITHIN)  # fmt: skip


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


def test_a_plan_knows_the_processor_that_torch_knows():
    assert hardware.multiplies_bf16() == use_bf16("auto", "cpu")
    assert hardware.has_gpu() == torch.cuda.is_available()
