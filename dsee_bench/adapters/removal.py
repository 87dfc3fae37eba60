"""Take heads and neurons out of a real model: weights, biases, adapters, coefficients, masks, and what notes sizes.

The kind of a site says which of its rows or columns go with a head or a neuron (pruning/surgery.py), so no family is
named here.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from dsee_bench.adapters.coefficient import coefficients_of, detach
from dsee_bench.adapters.protocol import adapter_of
from dsee_bench.models.access import module_at, pretrained_module, weight_of
from dsee_bench.models.position_bias import keep_columns
from dsee_bench.models.spec import LinearSpec, ModelSpec, Site
from dsee_bench.pruning import surgery
from dsee_bench.pruning.groups import members


def remove(
    model: nn.Module,
    spec: ModelSpec,
    masks: MutableMapping[Site, Tensor],  # (O, I) bool; cut along, in place
    heads: Sequence[Tensor],  # head groups that stay in each layer, ascending
    ffn: Sequence[Tensor],  # neurons that stay in each layer, ascending
) -> ModelSpec:
    """Narrow the model, in place, to these head groups and neurons; return its spec."""
    for weight in spec.weights:
        _fold(model, weight.site)
    for weight in spec.weights:
        layer = weight.site.layer
        if layer is not None:
            _narrow_site(model, spec, masks, weight.site, heads[layer], ffn[layer])
    attention = tuple(len(kept) * spec.queries_per_key for kept in heads)
    for layer, count in enumerate(attention):
        sites = [weight.site for weight in spec.weights if weight.site.layer == layer]
        surgery.note_heads(model, sites, spec, count)
    columns = tuple(keep_columns(model, spec, layer, kept) for layer, kept in enumerate(heads))
    return replace(
        spec,
        head_columns=columns if any(columns) else (),
        weights=tuple(_described(model, weight, masks) for weight in spec.weights),
        attention=attention,
    )


def _narrow_site(
    model: nn.Module,
    spec: ModelSpec,
    masks: MutableMapping[Site, Tensor],
    site: Site,
    heads: Tensor,
    ffn: Tensor,
) -> None:
    # Features of a head group: of all its query heads where they are counted, of one where keys and values are.
    size = spec.head_size * (1 if site.kind in ("key", "value") else spec.queries_per_key)
    features, kind = members(heads, size), site.kind
    rows = features if kind in surgery.HEAD_ROWS else ffn if kind in surgery.FFN_ROWS else None
    columns = features if kind in surgery.HEAD_COLUMNS else ffn if kind in surgery.FFN_COLUMNS else None
    if rows is None and columns is None:
        return
    surgery.narrow_weight(pretrained_module(model, site), rows, columns, transposed=site.transposed)
    if rows is not None:
        surgery.narrow_bias(model, site, rows)
    adapter = adapter_of(module_at(model, site))
    if adapter is not None:
        adapter.shrink(rows, columns)
    if site in masks:
        mask = masks[site] if rows is None else masks[site][rows]
        masks[site] = (mask if columns is None else mask[:, columns]).contiguous()


def _fold(model: nn.Module, site: Site) -> None:
    """Multiply a site's coefficients, where it has some, into the columns of its weight and its adapter."""
    module = module_at(model, site)
    if coefficients_of(module) is None:
        return
    factors = detach(module)
    weight_of(model, site).mul_(factors)
    adapter = adapter_of(module)
    if adapter is not None:
        adapter.scale_columns(factors)


def _described(model: nn.Module, weight: LinearSpec, masks: Mapping[Site, Tensor]) -> LinearSpec:
    """The weight with the shape and the counts that it really has now."""
    outputs, inputs = weight_of(model, weight.site).shape
    mask, size = masks.get(weight.site), outputs * inputs
    # A masked weight of a state that is being rebuilt: its mask is loaded later, what is planned holds until then.
    unmasked = size if weight.nnz == weight.size else min(weight.nnz, size - 1)
    adapter = adapter_of(module_at(model, weight.site))
    return replace(
        weight,
        outputs=outputs,
        inputs=inputs,
        bias=outputs if weight.bias else 0,
        nnz=unmasked if mask is None else int(mask.sum()),
        num_entries=0 if adapter is None else adapter.num_entries(),
        coefficients=0,
    )
