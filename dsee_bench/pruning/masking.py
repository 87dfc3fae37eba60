"""Masks on a model: zeros held in W and, where asked, in its update; and what the spec says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsee_bench.models.spec import LinearSpec, ModelSpec, Site
from dsee_bench.stages.attach import ADAPTER
from dsee_bench.stages.stage import RunState


def apply_masks(state: RunState) -> None:
    """Zero the masked entries of W, in place."""
    import torch

    from dsee_bench.models.access import weight_of

    with torch.no_grad():
        for site, mask in state.masks.items():
            seen = weight_of(state.model, site)
            seen.masked_fill_(~mask.to(seen.device), 0)


def mask_updates(state: RunState) -> None:
    """Put the mask of each weight on its DSEE update, too; all of it where there is no mask."""
    import torch

    from dsee_bench.models.access import module_at

    for weight in state.spec.weights:
        layer: Any = module_at(state.model, weight.site)
        if not weight.update:
            continue
        mask = state.masks.get(weight.site)
        everything = torch.ones(layer.oriented_weight.shape, dtype=torch.bool)
        layer.set_mask(ADAPTER, everything if mask is None else mask.clone())


def spread(weights: Sequence[LinearSpec], sparsity: float) -> dict[Site, int]:
    """Kept entries of each weight if a pool's zeros fall evenly; they add up to the pool's exact count."""
    size = sum(weight.size for weight in weights)
    removed = round(sparsity * size)
    kept, before = {}, 0
    for weight in weights:
        upto = before + weight.size
        kept[weight.site] = weight.size - (removed * upto // size - removed * before // size)
        before = upto
    return kept


def with_kept(spec: ModelSpec, kept: Mapping[Site, int], mask_adapter: bool | None = None) -> ModelSpec:
    """The spec with these counts.

    An update on a weight with zeros stays beside it (merging would fill them), unless the mask covers the update.
    """

    def count(weight: LinearSpec) -> LinearSpec:
        covered = mask_adapter or (weight.merges and weight.nnz < weight.size)  # now, or by the stage that pruned it
        return replace(weight, nnz=kept[weight.site], merges=bool(covered) or kept[weight.site] == weight.size)

    return replace(spec, weights=tuple(count(w) if w.site in kept else w for w in spec.weights))
