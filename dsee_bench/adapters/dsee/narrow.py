"""A DSEE update beside a weight that loses rows or columns: U, V, and the entries of S2 with their positions.

Entries on what is removed are gone, so K then differs from module to module; the adapter's configuration says so.

Letters: O outputs, I inputs, R rank, K kept entries.
"""

import torch
from torch import Tensor, nn

from dsee_bench.adapters.dsee.layer import DseeLayer


def narrow_update(
    layer: DseeLayer,
    rows: Tensor | None,  # outputs that stay, ascending; None: all
    columns: Tensor | None,  # inputs that stay, ascending; None: all
) -> None:
    """Keep these rows and columns of every update on `layer`, in place; its weight is narrowed by the caller."""
    if layer.merged:
        raise ValueError(f"the update of {layer.name} is merged; unmerge it before the weight is narrowed")
    for adapter, u in layer.dsee_u.items():
        if len(layer.blocks[adapter]) > 1:
            raise ValueError(f"{layer.name} is adapted in row blocks; only an update on all rows can be narrowed")
        v = layer.dsee_v[adapter]
        outputs, inputs = u.shape[0], v.shape[1]
        if rows is not None:
            layer.dsee_u[adapter] = nn.Parameter(u.detach()[rows.to(u.device)], requires_grad=u.requires_grad)
            layer.blocks[adapter] = [(0, len(rows))]
        if columns is not None:
            layer.dsee_v[adapter] = nn.Parameter(v.detach()[:, columns.to(v.device)], requires_grad=v.requires_grad)
        if adapter in layer.dsee_masks:
            mask = layer.dsee_masks[adapter]
            mask = mask if rows is None else mask[rows.to(mask.device)]
            layer.dsee_masks[adapter] = mask if columns is None else mask[:, columns.to(mask.device)]
        if adapter in layer.dsee_s2:
            positions, values = layer.dsee_positions[adapter], layer.dsee_s2[adapter].detach()
            moved = torch.stack([_renumber(positions[0], rows, outputs), _renumber(positions[1], columns, inputs)])
            stays = (moved >= 0).all(0)
            layer._set_entries(adapter, moved[:, stays])
            if stays.any():
                layer.dsee_s2[adapter].data.copy_(values[stays])


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
