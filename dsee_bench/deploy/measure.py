"""The costs of a run's final model: counted in the model itself where it can be seen, by formula where it cannot."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from dsee_bench.deploy.export import detached
from dsee_bench.deploy.manifest import Manifest
from dsee_bench.models import cost
from dsee_bench.models.access import weight_of
from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.record import Cost


def costs(
    model: PreTrainedModel,
    tuner: Any,  # PEFT's, None where no adapter is attached
    spec: ModelSpec,
    dense: ModelSpec,
    masks: Mapping[Site, Tensor],
    tokens: int,
) -> tuple[Cost, ...]:
    """Every cost of the record that needs no clock, in its order."""
    # An untouched model's parameters ask for gradients, and get none.
    tuned = [] if spec.tuned == "nothing" else [value for value in model.parameters() if value.requires_grad]
    trainable = sum(value.numel() for value in tuned)
    # A masked entry of a tuned weight has a parameter but no gradient: it is a constant zero.
    held = sum(int((~mask).sum()) for mask in masks.values()) if spec.tuned == "all" else 0
    flops = cost.Flops(tokens, cost.forward_flops(dense, tokens), cost.forward_flops(spec, tokens))
    at = f"one forward pass over {tokens} tokens; head and look-ups not counted"
    return (
        Cost(
            "adapter_parameters",
            spec.adapter,
            "parameters",
            "the adapter's, without the task head (the paper's convention)",
        ),
        Cost("head_parameters", spec.head, "parameters", "the task head's, always trained"),
        Cost(
            "trainable_parameters", trainable - held, "parameters", "with a gradient in the last tuning, head included"
        ),
        Cost("total_parameters", spec.total, "parameters", "backbone, adapter and head"),
        Cost("position_bits", cost.position_bits(spec), "bits", "to store where the sparse entries sit"),
        Cost("optimizer_entries", 2 * trainable, "entries", "AdamW's two moments of each trained parameter"),
        *_sparsities(model, tuner, spec),
        Cost("flops_dense", flops.dense, "FLOPs", f"the untouched model, {at}"),
        Cost(
            "flops_final",
            flops.final,
            "FLOPs",
            f"zeros skipped, the adapter merged or beside, whichever is cheaper, {at}",
        ),
        Cost("flops_saved", flops.saved, "share", "of flops_dense"),
    )


def _sparsities(model: PreTrainedModel, tuner: Any, spec: ModelSpec) -> tuple[Cost, ...]:
    """The share of zeros three ways: in W, in W with the adapter merged in, and in the whole model."""
    zeros, entries = _zeros(model, spec)
    merged = zeros
    if tuner is not None:
        merged, _ = _zeros(detached(model, tuner, spec, "merged")[0], spec)
    return (
        Cost("sparsity_masked", zeros / entries, "share", "zeros in the pretrained weights W of all sites"),
        Cost("sparsity_merged", merged / entries, "share", "zeros in W with the adapter merged in"),
        Cost("sparsity_model", zeros / spec.total, "share", "zeros in W over all parameters, embeddings included"),
    )


def _zeros(model: nn.Module, spec: ModelSpec) -> tuple[int, int]:
    """(zero entries, all entries) of the pretrained weights of all sites, counted in the model."""
    zeros = entries = 0
    for weight in spec.weights:
        seen = weight_of(model, weight.site)
        zeros += seen.numel() - int(seen.count_nonzero())
        entries += seen.numel()
    return zeros, entries


@dataclass(frozen=True)
class Clock:
    """How a forward pass is timed: rounds of both models in turn, so that a slow moment of the machine hits both."""

    batch: int = 32
    tokens: int = 128
    rounds: int = 7


def latencies(model: PreTrainedModel, dense: PreTrainedModel, clock: Clock) -> tuple[Cost, ...]:
    """Milliseconds of one forward pass without gradients, medians, of the final model and of the untouched one."""
    both = {"latency_ms": model.eval(), "latency_dense_ms": dense.eval()}
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (clock.batch, clock.tokens), generator=generator).to(model.device)
    found: dict[str, list[float]] = {name: [] for name in both}
    with torch.inference_mode():
        for turn in range(clock.rounds + 1):
            for name, each in both.items():
                milliseconds = _milliseconds(each, ids)
                if turn > 0:  # the first warms up
                    found[name].append(milliseconds)
    where = f"{model.device.type}, {torch.get_num_threads()} threads, {clock.batch} x {clock.tokens} tokens, fp32"
    middle = {name: statistics.median(times) for name, times in found.items()}
    rate = clock.batch * clock.tokens / middle["latency_ms"] * 1000
    return (
        *(
            Cost(name, middle[name], "ms", f"one forward pass, {where}; {_spread(times)}")
            for name, times in found.items()
        ),
        Cost("tokens_per_second", rate, "tokens/s", f"of the final model's forward pass, {where}"),
    )


def _milliseconds(model: PreTrainedModel, ids: Tensor) -> float:
    if ids.is_cuda:
        torch.cuda.synchronize()
    started = time.perf_counter()
    model(input_ids=ids, attention_mask=torch.ones_like(ids))
    if ids.is_cuda:
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - started)


def _spread(times: Sequence[float]) -> str:
    low, _, high = statistics.quantiles(times, n=4)
    return f"median of {len(times)}, quartiles {low:.1f} and {high:.1f}, fastest {min(times):.1f}"


def disk_bytes(described: Manifest) -> Cost:
    """Bytes of the weights of an exported model, the adapter's included."""
    weights = sum(stated["bytes"] for name, stated in described.files.items() if name.endswith(".safetensors"))
    stored = f"{described.storage}, adapter {described.update}"
    return Cost("disk_bytes", weights, "bytes", f"safetensors of the exported model: {stored}; no tokenizer")
