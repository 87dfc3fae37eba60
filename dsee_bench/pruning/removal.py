"""Take heads and neurons out of a real model: weights, biases, updates, coefficients, masks, and what notes sizes.

Every site says which of its rows or columns go with a head or a neuron (backbones/narrow.py), so no family is named.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dsee_bench.models.spec import LinearSpec, Site
from dsee_bench.pruning import surgery
from dsee_bench.stages.attach import ADAPTER
from dsee_bench.stages.stage import RunState

if TYPE_CHECKING:
    from torch import Tensor


def remove(state: RunState, heads: "Sequence[Tensor]", ffn: "Sequence[Tensor]") -> None:
    """Narrow everything to these head groups and neurons of each layer, in place, and describe it in the spec."""
    from dsee_bench.adapters.coefficient import coefficients_of
    from dsee_bench.models.access import module_at

    counts = [len(kept) for kept in heads]
    for weight in state.spec.weights:
        if coefficients_of(module_at(state.model, weight.site)) is not None:
            _fold(state, weight.site)
    for weight in state.spec.weights:
        layer = weight.site.layer
        if layer is not None:
            _narrow_site(state, weight.site, heads[layer], ffn[layer])
    for layer, count in enumerate(counts):
        sites = [weight.site for weight in state.spec.weights if weight.site.layer == layer]
        surgery.note_heads(state.model, sites, count * state.spec.queries_per_key, state.spec.head_size)
    state.spec = replace(
        state.spec,
        weights=tuple(_described(state, weight) for weight in state.spec.weights),
        attention=tuple(count * state.spec.queries_per_key for count in counts),
    )


def _narrow_site(state: RunState, site: Site, heads: "Tensor", ffn: "Tensor") -> None:
    from dsee_bench.models.access import pretrained_module
    from dsee_bench.pruning.groups import members

    # Features of a head group: of all its query heads where they are counted, of one where keys and values are.
    size = state.spec.head_size * (1 if site.kind in ("key", "value") else state.spec.queries_per_key)
    rows = members(heads, size) if site.kind in surgery.HEAD_ROWS else ffn if site.kind in surgery.FFN_ROWS else None
    columns = (
        members(heads, size) if site.kind in surgery.HEAD_COLUMNS else ffn if site.kind in surgery.FFN_COLUMNS else None
    )
    if rows is None and columns is None:
        return
    surgery.narrow_weight(pretrained_module(state.model, site), rows, columns, transposed=site.transposed)
    if rows is not None:
        surgery.narrow_bias(state.model, site, rows)
    _narrow_update(state, site, rows, columns)
    if site in state.masks:
        mask = state.masks[site]
        mask = mask if rows is None else mask[rows]
        state.masks[site] = (mask if columns is None else mask[:, columns]).contiguous()


def _narrow_update(state: RunState, site: Site, rows: "Tensor | None", columns: "Tensor | None") -> None:
    from dsee_bench.adapters.dsee import DseeLayer
    from dsee_bench.adapters.dsee.narrow import narrow_update
    from dsee_bench.models.access import module_at

    layer: Any = module_at(state.model, site)
    if isinstance(layer, DseeLayer):
        narrow_update(layer, rows, columns)
    elif hasattr(layer, "lora_A"):
        if rows is not None:
            surgery.narrow_weight(layer.lora_B[ADAPTER], rows, None, transposed=False)
            layer.out_features = len(rows)
        if columns is not None:
            surgery.narrow_weight(layer.lora_A[ADAPTER], None, columns, transposed=False)
            layer.in_features = len(columns)
    elif hasattr(layer, "base_layer"):
        raise ValueError(f"the update {type(layer).__name__} on {site.path} cannot be narrowed; DSEE's and LoRA's can")


def _fold(state: RunState, site: Site) -> None:
    """Multiply a site's coefficients into the columns of its weight and its update, and take them away."""
    from dsee_bench.adapters.coefficient import detach
    from dsee_bench.models.access import module_at

    layer: Any = module_at(state.model, site)
    factors = detach(layer)
    whole_weight(state, site).mul_(factors)
    if hasattr(layer, "dsee_v"):
        layer.dsee_v[ADAPTER].data.mul_(factors)
        if ADAPTER in layer.dsee_s2:
            layer.dsee_s2[ADAPTER].data.mul_(factors[layer.dsee_positions[ADAPTER][1].long()])
    elif hasattr(layer, "lora_A"):
        layer.lora_A[ADAPTER].weight.data.mul_(factors)


def _described(state: RunState, weight: LinearSpec) -> LinearSpec:
    """The weight with the shape and the counts that it really has now."""
    from dsee_bench.models.access import module_at

    outputs, inputs = whole_weight(state, weight.site).shape
    mask, size = state.masks.get(weight.site), outputs * inputs
    # A masked weight of a state that is being rebuilt: its mask is loaded later, what is planned holds until then.
    unmasked = size if weight.nnz == weight.size else min(weight.nnz, size - 1)
    layer: Any = module_at(state.model, weight.site)
    return replace(
        weight,
        outputs=outputs,
        inputs=inputs,
        bias=outputs if weight.bias else 0,
        nnz=unmasked if mask is None else int(mask.sum()),
        entries=layer.entries(ADAPTER) if hasattr(layer, "entries") else weight.entries,
        coefficients=0,
    )


def whole_weight(state: RunState, site: Site) -> "Tensor":
    """W (O, I), all of it."""
    from dsee_bench.models.access import pretrained_module

    stored = pretrained_module(state.model, site).get_parameter("weight").detach()
    return stored.T if site.transposed else stored
