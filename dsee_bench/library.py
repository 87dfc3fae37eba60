"""Prune, narrow, count and save one's own transformers model, with or without PEFT around it, without the runner.

A model is one of a known family (dsee_bench/models/families), as from_pretrained gives it. An adapter on it is DSEE's
or LoRA's. `batches`, for scores that need data, are a few batches as the model takes them, with labels.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsee_bench.adapters.dsee.adapter import DseeAdapter, mask_adapters
from dsee_bench.adapters.group_scores import GroupScore
from dsee_bench.adapters.pool_masks import pool_masks
from dsee_bench.adapters.protocol import adapter_of
from dsee_bench.adapters.removal import remove
from dsee_bench.config.launch import Storage
from dsee_bench.deploy.export import export
from dsee_bench.models.access import module_at, pretrained_module, weight_of
from dsee_bench.models.cost import forward_flops
from dsee_bench.models.fused import Fused, join, split
from dsee_bench.models.own import spec_of, whole_and_adapted
from dsee_bench.models.spec import Kind, LinearSpec, ModelSpec, Site
from dsee_bench.pruning import DataScore, Scope, ScoreName
from dsee_bench.pruning.masking import apply_masks
from dsee_bench.stages.narrow import Narrow
from dsee_bench.stages.prune import PruneWeights

Model = PreTrainedModel | PeftModel
Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Counts:
    """What a model has and costs. All but the last two count parameters."""

    total: int  # with adapters and task head; tied weights once
    nnz: int  # total without the zeros of the linear weights
    trainable: int  # with a gradient; zeros of a weight that trains are left out
    adapter: int  # of DSEE's or PEFT's adapters
    flops: int  # of one forward pass of one text, a multiply and an add as two; zeros are skipped
    tokens: int  # of that text


def count(model: Model, tokens: int = 128) -> Counts:
    """Return the parameters of a model and the FLOPs of one forward pass over `tokens` tokens.

    FLOPs are by formula, those of linear weights and attention (dsee_bench/models/cost.py says what is left out).
    ValueError for a family without a table, and for an adapter other than DSEE's and LoRA's: merge it first.
    """
    base, spec = _described(model)
    parameters = list(model.parameters())
    adapters = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    zeros = {id(pretrained_module(base, w.site).get_parameter("weight")): w.size - w.nnz for w in spec.weights}
    return Counts(
        total=sum(value.numel() for value in parameters),
        nnz=sum(value.numel() - zeros.get(id(value), 0) for value in parameters),
        trainable=sum(value.numel() - zeros.get(id(value), 0) for value in parameters if value.requires_grad),
        adapter=sum(
            value.numel()
            for module in adapters
            for name, value in module.named_parameters()
            if name.partition(".")[0] in module.adapter_layer_names
        ),
        flops=forward_flops(spec, tokens),
        tokens=tokens,
    )


def prune_(
    model: Model,
    sparsity: float,
    *,
    score: ScoreName | DataScore = "W",
    scope: Scope = "model",
    kinds: Sequence[Kind] | None = None,
    batches: Sequence[Batch] = (),
    mask_adapter: bool = False,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Zero the smallest entries of the linear weights, in place; they stay zero while the model trains.

    `sparsity` is the share of zeros afterwards; entries that are zero already count. Return the masks by parameter
    name, bool and shaped as the parameter, True where the entry stays. Make the optimizer after pruning: zeros hold
    because they have no gradient, and a momentum from before would move them.

    `score` ranks the entries: "W" by size, "wanda" and "gradient" by `batches`, "update" and the other scores of the
    paper by the DSEE adapter. `scope` says what competes: the whole "model", each "weight", each "row" of outputs, or
    "N:M". `kinds` narrows it down to some weights, as ("query", "value"). With `mask_adapter` the DSEE adapter is
    masked like its weight, so that merging keeps the zeros. ValueError for what the model does not allow.
    """
    if scope not in get_args(Scope):
        raise ValueError(f"unknown scope {scope!r}; there is {', '.join(get_args(Scope))}")
    base, spec = _described(model)
    chosen = tuple(kinds or {weight.site.kind: None for weight in spec.weights})
    stage = PruneWeights(sparsity, None, None, score, "W", False, chosen, (), scope, mask_adapter, batches=1)
    stage.plan(spec)
    earlier = {w.site: (weight_of(base, w.site) != 0).cpu() for w in spec.weights if w.nnz < w.size}
    losses = _losses(base, batches)
    masks = pool_masks(base, spec.pick(chosen), score, sparsity, scope, earlier=earlier, losses=losses, seed=seed)
    apply_masks(base, masks)
    if mask_adapter:
        mask_adapters(base, spec.weights, masks)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: mask for parameter, mask in (_hold(base, *pair) for pair in masks.items())}


def narrow_(
    model: Model,
    *,
    heads: float = 0.0,
    ffn: float = 0.0,
    score: GroupScore = "magnitude",
    scope: Literal["layer", "model"] = "layer",
    batches: Sequence[Batch] = (),
    seed: int = 0,
) -> tuple[list[list[int]], list[list[int]]]:
    """Remove the share `heads` of the attention heads and `ffn` of the feed-forward neurons for good, in place.

    Return the heads and the neurons that stay in each layer, by their old numbers. Where query heads share a key head
    they go together, and a number is that of the key head. Adapters are narrowed along. Masks of `prune_` do not hold
    any longer: narrow first. Store the model with `save`, for from_pretrained does not know the new shapes.

    The smallest `score` goes: "magnitude" of the weights, "update" or "W+update" of the adapter, "gradient" (what the
    loss of `batches` would miss), "random". `scope`: rank in each layer, or over the whole model. One head and one neuron stay
    in each layer. ValueError for a share that this rules out.
    """
    for name, share in (("heads", heads), ("ffn", ffn)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {share}; it is the share removed")
    stage = Narrow(heads, ffn, score, score, scope, batches=1)
    base = _base(model)
    if whole := whole_and_adapted(base):
        raise ValueError(
            f"{whole[0]} holds query, key and value in one weight with an adapter on it; merge the adapter, or narrow "
            "the model before it is attached"
        )
    whole_before = not any(isinstance(module, Fused) for module in base.modules())
    if whole_before:
        split(base)
    try:
        _, spec = _described(base)
        stage.plan(spec)
        choice = stage.choose(base, spec, lambda: _losses(base, batches), seed)
        remove(base, spec, {}, *choice)
    finally:
        if whole_before:
            join(base)
    return [kept.tolist() for kept in choice[0]], [kept.tolist() for kept in choice[1]]


def save(
    model: Model,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | os.PathLike[str],
    *,
    storage: Storage = "dense",
    force: bool = False,
) -> None:
    """Write a sequence classifier or a causal language model to a folder that `load` reads, with adapters merged.

    `storage` says how weights with zeros lie on disk: "dense", or smaller as "bitmask" or "csr". A folder that is there
    is replaced with `force` alone. The model stays as it is.
    """
    base, spec = _described(model)
    classes = base.config.id2label or {}
    task = Saved(
        name=Path(folder).name,
        kind="generation" if base.get_output_embeddings() is not None else _kind(base),
        labels=tuple(str(classes[index]) for index in sorted(classes)),
    )
    tuner = model.base_model if isinstance(model, PeftModel) else None
    export(
        base, tuner, spec, tokenizer, task, Path(folder), backbone=base.config.model_type, folding="merged",
        storage=storage, force=force,
    )  # fmt: skip
