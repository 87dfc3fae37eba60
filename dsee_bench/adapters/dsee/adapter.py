"""One DSEE adapter as stages see it: read for scores, given positions and masks, and narrowed with its weight.

Letters: O outputs, I inputs, R rank, K entries of S2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsee_bench.adapters.dsee.layer import DseeLayer
from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.models.access import module_at
from dsee_bench.models.spec import LinearSpec, Site


@dataclass(frozen=True)
class DseeAdapter:
    """The adapter protocol over a DseeLayer."""

    layer: DseeLayer
    name: str = ADAPTER

    @property
    def rank(self) -> int:
        return self.layer.dsee_u[self.name].shape[1]

    @property
    def masked(self) -> bool:
        """Whether a mask covers the delta, so that merging keeps the zeros of W."""
        return self.name in self.layer.dsee_masks

    @property
    def scale(self) -> float:
        return self.layer.scaling[self.name]

    @property
    def num_entries(self) -> int:
        return self.layer.num_entries(self.name)

    def low_rank_delta(self) -> Tensor:
        return self.layer.low_rank_delta(self.name).detach()

    def sparse_delta(self) -> Tensor:
        return self.layer.sparse_delta(self.name)

    def scale_columns(self, factors: Tensor) -> None:
        layer, name = self.layer, self.name
        layer.dsee_v[name].data.mul_(factors)
        if name in layer.dsee_s2:
            layer.dsee_s2[name].data.mul_(factors[layer.dsee_positions[name][1].long()])

    def shrink(self, rows: Tensor | None, columns: Tensor | None) -> None:
        """Keep these rows and columns. Entries of S2 outside them are gone, so K then differs from weight to weight."""
        layer, name = self.layer, self.name
        if layer.merged:
            raise ValueError(f"the adapter of {layer.name} is merged; unmerge it before the weight is narrowed")
        if len(layer.blocks[name]) > 1:
            raise ValueError(f"{layer.name} is adapted in row blocks; only an adapter on all rows can be narrowed")
        u, v = layer.dsee_u[name], layer.dsee_v[name]
        if rows is not None:
            layer.dsee_u[name] = nn.Parameter(u.detach()[rows.to(u.device)], requires_grad=u.requires_grad)
            layer.blocks[name] = [(0, len(rows))]
        if columns is not None:
            layer.dsee_v[name] = nn.Parameter(v.detach()[:, columns.to(v.device)], requires_grad=v.requires_grad)
        if name in layer.dsee_masks:
            mask = layer.dsee_masks[name]
            mask = mask if rows is None else mask[rows.to(mask.device)]
            layer.dsee_masks[name] = mask if columns is None else mask[:, columns.to(mask.device)]
        if name in layer.dsee_s2:
            positions, values = layer.dsee_positions[name], layer.dsee_s2[name].detach()
            moved = torch.stack([_renumber(positions[0], rows, len(u)), _renumber(positions[1], columns, v.shape[1])])
            stays = (moved >= 0).all(0)
            layer.set_entries(name, moved[:, stays])
            if stays.any():
                layer.dsee_s2[name].data.copy_(values[stays])


def _renumber(
    positions: Tensor,  # (K,)
    kept: Tensor | None,
    count: int,
) -> Tensor:  # (K,), -1 where the row or column is gone
    """Where these rows (or columns) of `count` are once only `kept` are left."""
    if kept is None:
        return positions
    new = torch.full((count,), -1, dtype=positions.dtype, device=positions.device)
    new[kept.to(positions.device)] = torch.arange(len(kept), dtype=positions.dtype, device=positions.device)
    return new[positions.long()]


def dsee_layer(model: nn.Module, site: Site) -> DseeLayer:
    """Return the DSEE layer at a site, where a stage put one."""
    layer = module_at(model, site)
    assert isinstance(layer, DseeLayer), f"{site.path} is a {type(layer).__name__}"
    return layer


def set_positions(
    model: nn.Module,
    positions: Mapping[Site, Tensor],  # (K,) each, flat in (O, I)
) -> None:
    """Give S2 of each site these entries, all zero."""
    for site, flat in positions.items():
        dsee_layer(model, site).set_positions(ADAPTER, [flat])


def mask_adapters(model: nn.Module, weights: Iterable[LinearSpec], masks: Mapping[Site, Tensor]) -> None:
    """Put the mask of each weight on its adapter, too: all true where the weight has none."""
    for site in (weight.site for weight in weights if weight.adapter):
        layer = dsee_layer(model, site)
        everything = torch.ones(layer.oriented_weight.shape, dtype=torch.bool)
        layer.set_mask(ADAPTER, masks[site].clone() if site in masks else everything)
