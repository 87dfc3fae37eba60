"""What torch measures of a model's memory: tensors saved for the backward, and the profiler's allocations."""

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from dsee_bench.runs import pipeline
from dsee_bench.stages.attach import SparseEntries
from dsee_bench.stages.tune import Tune, choose_trainable


def tuned(settings, tmp_path):
    """The state of a run in its last tuning, with nothing trained."""
    state, _ = pipeline.prepare(settings, tmp_path)
    for name, stage in settings.stages.items():
        state.stage, state.spec = name, stage.plan(state.spec)
        if isinstance(stage, Tune):
            choose_trainable(state, stage.parameters)
        elif isinstance(stage, SparseEntries):
            stage.restore(state, {})
        else:
            stage.run(state)
    return state


def batch(settings, rows, tokens):
    ids = torch.randint(5, 90, (rows, tokens), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0
    labels = ids if settings.labels is None else torch.zeros(rows, dtype=torch.long)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def saved(model, inputs, bf16=False):
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


def tuning_step(model, inputs, bf16=False):
    """A function that makes one step, its optimizer, and the bytes of that once a first step is done."""
    trained = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)  # as transformers' Trainer has it

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    moments = sum(value.nbytes for values in optimizer.state.values() for value in values.values())
    return step, moments


def answering(model, inputs, bf16=False):
    """A function that answers one batch, called once."""

    def answer():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16), torch.no_grad():
            model(**inputs)

    answer()
    return answer


def stored(model):
    """Bytes of parameters and buffers."""
    return sum(value.nbytes for value in [*model.parameters(), *model.buffers()])
