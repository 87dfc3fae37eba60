"""The costs of a run's final model: counted in the model itself where possible, by formula elsewhere."""

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
    adapters: Any,  # PEFT's, None where no adapter is attached
    spec: ModelSpec,
    untouched: ModelSpec,
    masks: Mapping[Site, Tensor],
    tokens: int,
) -> tuple[Cost, ...]:
    """Return every cost of the record that needs no clock, in the record's order."""
    # The parameters of an untuned model require gradients, and get none.
    tuned = [] if spec.tuned == "nothing" else [value for value in model.parameters() if value.requires_grad]
    trainable = sum(value.numel() for value in tuned)
    # A masked entry of a tuned weight has a parameter but no gradient: it is a constant zero.
    fixed = sum(int((~mask).sum()) for mask in masks.values()) if spec.tuned == "all" else 0
    flops = cost.Flops(tokens, cost.forward_flops(untouched, tokens), cost.forward_flops(spec, tokens))
    convention = "without the task head (the paper's convention)"
    tuned_last = "with a gradient in the last tuning, head included"
    cheaper = "the adapter merged or beside, whichever is cheaper"
    at = f"one forward pass over {tokens} tokens; head and look-ups not counted"
    return (
        Cost("adapter_parameters", spec.adapter, "parameters", f"the adapter's, {convention}"),
        Cost("head_parameters", spec.head, "parameters", "the task head's, always trained"),
        Cost("trainable_parameters", trainable - fixed, "parameters", tuned_last),
        Cost("total_parameters", spec.total, "parameters", "backbone, adapter and head"),
        Cost("position_bits", cost.position_bits(spec), "bits", "to store where the sparse entries sit"),
        Cost("optimizer_entries", 2 * trainable, "entries", "AdamW's two moments of each trained parameter"),
        *_sparsities(model, adapters, spec),
        Cost("flops_dense", flops.dense, "FLOPs", f"the untouched model, {at}"),
        Cost("flops_final", flops.final, "FLOPs", f"zeros skipped, {cheaper}, {at}"),
        Cost("flops_saved", flops.saved, "share", "of flops_dense"),
    )


def _sparsities(model: PreTrainedModel, adapters: Any, spec: ModelSpec) -> tuple[Cost, ...]:
    """The share of zeros in W, in W with the adapter merged, and in the whole model."""
    zeros, entries = _zeros(model, spec)
    merged = zeros if adapters is None else _zeros(detached(model, adapters, spec, "merged")[0], spec)[0]
    return (
        Cost("sparsity_masked", zeros / entries, "share", "zeros in the pretrained weights W of all sites"),
        Cost("sparsity_merged", merged / entries, "share", "zeros in W with the adapter merged in"),
        Cost("sparsity_model", zeros / spec.total, "share", "zeros in W over all parameters, embeddings included"),
    )


def _zeros(model: nn.Module, spec: ModelSpec) -> tuple[int, int]:
    """(zero entries, all entries) of the pretrained weights of all sites, counted in the model."""
    zeros = entries = 0
    for weight in spec.weights:
        stored = weight_of(model, weight.site)
        zeros += stored.numel() - int(stored.count_nonzero())
        entries += stored.numel()
    return zeros, entries


@dataclass(frozen=True)
class Clock:
    """Settings of timing a forward pass: rounds of both models in turn, so that a slow moment hits both."""

    batch: int = 32
    tokens: int = 128
    rounds: int = 7


def latencies(model: PreTrainedModel, untouched: PreTrainedModel, clock: Clock) -> tuple[Cost, ...]:
    """Return median milliseconds of one forward pass without gradients, of the final model and of the untouched one."""
    models = {"latency_ms": model.eval(), "latency_dense_ms": untouched.eval()}
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (clock.batch, clock.tokens), generator=generator).to(model.device)
    times: dict[str, list[float]] = {name: [] for name in models}
    with torch.inference_mode():
        for turn in range(clock.rounds + 1):
            for name, timed in models.items():
                milliseconds = _milliseconds(timed, ids)
                if turn > 0:  # the first warms up
                    times[name].append(milliseconds)
    setting = f"{model.device.type}, {torch.get_num_threads()} threads, {clock.batch} x {clock.tokens} tokens, fp32"
    costs = [
        Cost(name, statistics.median(values), "ms", f"one forward pass, {setting}; {_spread(values)}")
        for name, values in times.items()
    ]
    rate = clock.batch * clock.tokens / statistics.median(times["latency_ms"]) * 1000
    return (*costs, Cost("tokens_per_second", rate, "tokens/s", f"of the final model's forward pass, {setting}"))


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


def disk_bytes(exported: Manifest) -> Cost:
    """Return the bytes of the weights of an exported model, its adapter included."""
    weights = sum(file["bytes"] for name, file in exported.files.items() if name.endswith(".safetensors"))
    form = f"{exported.storage}, adapter {exported.adapter}"
    return Cost("disk_bytes", weights, "bytes", f"safetensors of the exported model: {form}; no tokenizer")
