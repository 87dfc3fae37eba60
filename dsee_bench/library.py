"""Prune, narrow, count and save one's own transformers model, with or without PEFT around it, without the runner.

A model is one of a known family (dsee_bench/models/families), as from_pretrained gives it. An adapter on it is DSEE's
or LoRA's. `batches`, for scores that need data, are a few batches as the model takes them, with labels.
"""

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsee_bench.adapters.dsee.adapter import mask_adapters
from dsee_bench.adapters.dsee.layer import DseeLayer
from dsee_bench.adapters.pool_masks import pool_masks
from dsee_bench.adapters.protocol import ADAPTER, adapter_of
from dsee_bench.adapters.removal import remove
from dsee_bench.config.launch import Storage
from dsee_bench.deploy.export import export
from dsee_bench.deploy.manifest import TaskOutputs
from dsee_bench.deploy.own_config import mark, widths_of
from dsee_bench.deploy.peft_form import Base
from dsee_bench.models.access import module_at, pretrained_module, weight_of
from dsee_bench.models.cost import forward_flops
from dsee_bench.models.fused import Fused, join, split
from dsee_bench.models.own import spec_of, untouched_spec_of, whole_and_adapted
from dsee_bench.models.position_bias import make_narrowable
from dsee_bench.models.spec import Kind, LinearSpec, ModelSpec
from dsee_bench.pruning import DataScore, GroupScore, Scope, ScoreName
from dsee_bench.pruning.masking import apply_masks
from dsee_bench.stages.narrow import Narrow
from dsee_bench.stages.prune import PruneWeights

Model: TypeAlias = "PreTrainedModel | PeftModel"
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
    base = _base(model)
    spec = _adapted_spec(base)
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
    "N:M". `kinds` narrows it down to some weights, as ("query", "value"); where
    a model holds query, key and value in one weight, that is "query". With `mask_adapter` the DSEE adapter is
    masked like its weight, so that merging keeps the zeros. ValueError for what the model does not allow.
    """
    for name, value, known in (
        ("scope", scope, get_args(Scope)),
        ("score", score, (*get_args(ScoreName), *get_args(DataScore))),
    ):
        if value not in known:
            raise ValueError(f"unknown {name} {value!r}; there is {', '.join(known)}")
    base = _base(model)
    spec = _adapted_spec(base)
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
    by_name = {}
    for site, mask in masks.items():
        weight = pretrained_module(base, site).get_parameter("weight")
        by_name[names[id(weight)]] = mask.T if site.transposed else mask
        _hold(weight, by_name[names[id(weight)]])
    return by_name


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
    any longer: narrow first. `dsee_bench.load` reads what `save` or the model's save_pretrained writes; from_pretrained
    does not know the new shapes, and says so.

    The smallest `score` goes: "magnitude" of the weights, "update" or "W+update" of the adapter, "gradient" (what the
    loss of `batches` would miss), or "random". They are ranked in each layer, or with `scope="model"` all together. One
    head and one neuron stay in each layer. ValueError for a share that this rules out.
    """
    for name, share in (("heads", heads), ("ffn", ffn)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must lie in [0, 1), got {share}; it is the share removed")
    stage = Narrow(heads, ffn, score, score, scope, batches=1)
    base = _base(model)
    if whole := whole_and_adapted(base):
        raise ValueError(
            f"{whole[0]} holds several weights in one, with an adapter on it; merge the adapter, or narrow the model "
            "before it is attached"
        )
    whole_before = not _is_split(base)
    if whole_before:
        split(base)
    make_narrowable(base)
    try:
        spec = _adapted_spec(base)
        stage.plan(spec)
        choice = stage.choose(base, spec, lambda: _losses(base, batches), seed)
        mark(base.config, widths_of(remove(base, spec, {}, *choice)))
    finally:
        if whole_before:
            join(base)
    return [kept.tolist() for kept in choice[0]], [kept.tolist() for kept in choice[1]]


def save(
    model: Model,
    folder: str | os.PathLike[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    storage: Storage = "dense",
    force: bool = False,
) -> None:
    """Write a sequence classifier or causal language model to a folder that `load` reads, with adapters merged.

    `storage` says how weights with zeros lie on disk: "dense", or smaller as "bitmask" or "csr". A folder that is there
    is replaced with `force` alone. The model stays as it is. ValueError for a model with another head.
    """
    plain = _merged(copy.deepcopy(model))
    outputs = _outputs(plain, Path(folder).name)
    if not _is_split(plain):
        split(plain)
    export(
        plain,
        None,
        spec_of(plain),
        untouched_spec_of(plain),
        tokenizer,
        outputs,
        Path(folder),
        base=Base(plain.config.model_type),
        folding="auto",
        storage=storage,
        force=force,
    )


def _merged(model: Model) -> PreTrainedModel:
    """The model with its adapters merged, in place: PEFT's, or one that `load` gave with an adapter on it."""
    if isinstance(model, PeftModel):
        merged: PreTrainedModel = model.merge_and_unload()
        return merged
    for name, module in [(name, part) for name, part in model.named_modules() if isinstance(part, BaseTunerLayer)]:
        module.merge()
        model.set_submodule(name, module.get_base_layer())
    return model


def _base(model: Model) -> PreTrainedModel:
    """The transformers model inside PEFT's."""
    base: PreTrainedModel = model.get_base_model() if isinstance(model, PeftModel) else model
    return base


def _is_split(model: nn.Module) -> bool:
    return any(isinstance(module, Fused) for module in model.modules())


def _adapted_spec(base: PreTrainedModel) -> ModelSpec:
    """The spec of a model with its adapters."""
    spec = spec_of(base)
    return replace(spec, weights=tuple(_adapted(base, weight) for weight in spec.weights))


def _adapted(base: PreTrainedModel, weight: LinearSpec) -> LinearSpec:
    adapter = adapter_of(module_at(base, weight.site))
    if adapter is None:
        return weight
    merges = weight.merges or (isinstance(adapter, DseeLayer) and ADAPTER in adapter.dsee_masks)
    kind = "DSEE" if isinstance(adapter, DseeLayer) else "LORA"
    return replace(weight, rank=adapter.rank(), num_entries=adapter.num_entries(), adapter_type=kind, merges=merges)


def _losses(model: PreTrainedModel, batches: Sequence[Batch]) -> Iterator[Tensor]:
    """Yield the eval-mode losses of the batches, on the model's device."""
    if not batches:
        raise ValueError("this score reads data; pass a few batches with labels, as batches=[...]")
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            yield model(**{name: value.to(model.device) for name, value in batch.items()}).loss
    finally:
        model.train(was_training)


def _hold(weight: nn.Parameter, mask: Tensor) -> None:
    """Let no gradient reach what `mask`, laid out as the weight, leaves out; the weight trains or not as before."""
    trains = weight.requires_grad
    weight.requires_grad_(True).register_hook(lambda gradient: gradient.masked_fill(~mask.to(gradient.device), 0))
    weight.requires_grad_(trains)


def _outputs(model: PreTrainedModel, name: str) -> TaskOutputs:
    """What an export says of a model's outputs, read off its configuration."""
    head, config = type(model).__name__, model.config
    kind: Literal["classification", "regression", "multi_label", "generation"]
    if head.endswith(("ForCausalLM", "LMHeadModel")):
        kind = "generation"
    elif head.endswith("ForSequenceClassification"):
        kinds: dict[str, Literal["regression", "multi_label"]]
        kinds = {"regression": "regression", "multi_label_classification": "multi_label"}
        kind = kinds.get(config.problem_type, "classification")
    else:
        raise ValueError(f"sequence classifiers and causal language models can be saved, not {head}")
    return {
        "name": name,
        "kind": kind,
        "labels": [str(label) for label in config.id2label.values()]
        if kind in ("classification", "multi_label")
        else [],
        "texts": [],
        "max_length": config.max_position_embeddings,
        "precision": "auto",
    }
