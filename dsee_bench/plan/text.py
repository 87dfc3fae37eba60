"""A plan as text and as JSON."""

import dataclasses
import json

from dsee_bench.models.memory import Use
from dsee_bench.models.spec import ModelSpec
from dsee_bench.plan import COUNTS, TOKENS, Plan, Step, retention


def as_json(planned: Plan) -> str:
    """Return the plan as one JSON object; other tools rely on its names."""
    content = {
        "run_id": planned.run_id,
        "stages": [
            {
                "name": step.name,
                "sites": list(step.sites),
                "steps": step.steps,
                "parameters": _parameters(step.spec),
                "flops": _flops(planned, step.spec),
                "memory": None if step.memory is None else dataclasses.asdict(step.memory),
                "estimates": list(step.estimates),
            }
            for step in planned.steps
        ],
        "parameters": _parameters(planned.final),
        "flops": _flops(planned, planned.final),
        "passes": planned.passes,
        "chosen": list(planned.chosen),
        "estimates": list(planned.steps[-1].estimates) if planned.steps else [],
        "memory": {
            "training": None if planned.largest is None else dataclasses.asdict(planned.largest),
            "training_batch": dataclasses.asdict(planned.tuning),
            "inference": dataclasses.asdict(planned.inference),
            "inference_batch": dataclasses.asdict(planned.answering),
        },
        "dtype": planned.dtype,
        "evaluate_on": {"tasks": list(planned.others), "after": list(planned.others_after)},
        "recipe": dataclasses.asdict(planned.source),
    }
    return json.dumps(content)


def _parameters(spec: ModelSpec) -> dict[str, int]:
    return {name: getattr(spec, name) for name in ("adapter", "head", "trainable", "nnz", "total")}


def _flops(planned: Plan, spec: ModelSpec) -> dict[str, float]:
    flops = planned.flops(spec)
    return {**dataclasses.asdict(flops), "saved": flops.saved}


def as_text(planned: Plan) -> str:
    """Return the plan as a table: a line a stage, with parameters and FLOPs after it."""
    start = Step("(start)", (), planned.before, None, (), None)
    lines = [
        planned.run_id,
        planned.source.line(),
        _line("stage", "sites", "steps", *COUNTS, "GFLOPs", "saved"),
        *(_row(planned, step) for step in (start, *planned.steps)),
        f"FLOPs of one forward pass over {TOKENS} tokens, head and look-ups not counted; trainable includes the head's "
        f"{planned.before.head:,} parameters.",
        *_memory_lines(planned),
    ]
    if planned.chosen:
        lines.append(f"The budget is met by {' '.join(planned.chosen)}.")
    if planned.passes is None:
        lines.append("An example has a forward pass for each of its choices; the memory is that of one choice a row.")
    elif planned.passes > 1:
        lines.append(
            f"An example has {planned.passes} forward passes, one a choice, and as many rows in the memory above."
        )
    if planned.others:
        lines.append(retention.line(planned.others, planned.others_after))
    if planned.dtype != "float32":
        lines.append(f"Weights that do not train are stored in {planned.dtype}, all others in float32.")
    if any(step.estimates for step in planned.steps):
        lines.append(
            "~ is an estimate: zeros and sparse entries are assumed to lie evenly; the record has the exact number."
        )
    return "\n".join(lines)


def _memory_lines(planned: Plan) -> list[str]:
    """Say what a step of the largest tuning and the answering of a batch need, in MB or GB."""

    def text(size: int) -> str:
        return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"

    def place(use: Use) -> str:
        device, numbers = "CPU" if use.on_cpu else "GPU", "bfloat16" if use.bf16 else "float32"
        return f"{use.rows} rows of {use.tokens} tokens, on a {device} in {numbers}"

    answered = f"{text(planned.inference.peak)} to answer {place(planned.answering)}"
    if planned.largest is None:
        return [f"Memory, by formula: {answered}."]
    parts = ", ".join(
        f"{name} {text(size)}"
        for name, size in dataclasses.asdict(planned.largest).items()
        if name != "peak" and not (name == "gathered" and planned.tuning.shards == 1)
    )
    lines = [
        f"Memory, by formula: {text(planned.largest.peak)} to tune on {place(planned.tuning)} ({parts}); {answered}."
    ]
    if planned.tuning.shards > 1:
        lines.append(
            f"That is one of {planned.tuning.shards} processes with FSDP: it has its part of the gradients and the "
            "optimizer, the whole weights and its part of them, and the activations of its own rows."
        )
    return lines


def _row(planned: Plan, step: Step) -> str:
    flops = planned.flops(step.spec)
    numbers = [(name, f"{getattr(step.spec, name):,}") for name in COUNTS]
    numbers += [("flops", f"{flops.final / 1e9:.3f}"), ("flops", f"{flops.saved:.1%}")]
    cells = [f"{'~' if name in step.estimates else ''}{number}" for name, number in numbers]
    return _line(step.name, f"{len(step.sites)}", "-" if step.steps is None else f"{step.steps:,}", *cells)


def _line(stage: str, *cells: str) -> str:
    return " ".join([f"{stage:<12}", *map(str.rjust, cells, (5, 7, 12, 12, 13, 13, 8, 7))])
