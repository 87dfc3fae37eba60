"""The costs of a run's final model: counted in the model itself where possible, by formula elsewhere."""

from collections.abc import Mapping
from typing import Any

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


def disk_bytes(exported: Manifest) -> Cost:
    """Return the bytes of the weights of an exported model, its adapter included."""
    weights = sum(file["bytes"] for name, file in exported.files.items() if name.endswith(".safetensors"))
    form = f"{exported.storage}, adapter {exported.adapter}"
    return Cost("disk_bytes", weights, "bytes", f"safetensors of the exported model: {form}; no tokenizer")
