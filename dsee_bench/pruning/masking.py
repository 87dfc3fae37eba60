"""Masks on a model: zeros held in W, and what the spec says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dsee_bench.models.spec import LinearSpec, ModelSpec, Site

if TYPE_CHECKING:
    from torch import Tensor, nn


def apply_masks(model: "nn.Module", masks: "Mapping[Site, Tensor]") -> None:
    """Zero W, in place, where its mask (O, I) is false."""
    import torch

    from dsee_bench.models.access import weight_of

    with torch.no_grad():
        for site, mask in masks.items():
            weight = weight_of(model, site)
            weight.masked_fill_(~mask.to(weight.device), 0)


def spread(weights: Sequence[LinearSpec], sparsity: float) -> dict[Site, int]:
    """Return the non-zero entries of each weight if a pool's zeros fall evenly; they add up to the exact count."""
    size = sum(weight.size for weight in weights)
    removed = round(sparsity * size)
    nnz, before = {}, 0
    for weight in weights:
        upto = before + weight.size
        nnz[weight.site] = weight.size - (removed * upto // size - removed * before // size)
        before = upto
    return nnz


def with_nnz(spec: ModelSpec, nnz: Mapping[Site, int], mask_adapter: bool | None = None) -> ModelSpec:
    """Return the spec with these counts.

    An adapter on a weight with zeros is not merged (that would fill them), unless the mask covers the adapter.
    """

    def count(weight: LinearSpec) -> LinearSpec:
        covered = mask_adapter or (weight.merges and weight.nnz < weight.size)  # now, or by the stage that pruned it
        return replace(weight, nnz=nnz[weight.site], merges=bool(covered) or nnz[weight.site] == weight.size)

    return replace(spec, weights=tuple(count(w) if w.site in nnz else w for w in spec.weights))
