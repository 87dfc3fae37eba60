"""Lossless storage of a matrix with zeros: its values and a bit for each entry, or its values in rows (CSR).

Bytes of a float32 matrix (O, I) with K entries that are not zero: dense 4 O I, bit mask 4 K + O I / 8, CSR 6 K + 4 O
(columns take two bytes up to 32,767 inputs, four above). So a bit mask pays from 1 in 32 zeros on, CSR from a third,
and CSR is the smaller of the two from 15 zeros in 16 on.

Letters: O outputs, I inputs, K entries that are not zero.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

Layout = Literal["bitmask", "csr"]
PARTS: Mapping[str, tuple[str, ...]] = {"bitmask": ("values", "mask"), "csr": ("values", "columns", "rows")}


def compress(
    weight: Tensor,  # (O, I)
    layout: Layout,
) -> dict[str, Tensor]:
    """Return the parts of `weight` in this layout; `expand` gives back the same numbers (-0 becomes 0)."""
    nonzero = weight != 0
    if layout == "bitmask":
        bits = np.packbits(nonzero.flatten().cpu().numpy())
        return {"values": weight[nonzero].contiguous(), "mask": torch.from_numpy(bits)}
    if layout == "csr":
        rows = torch.cat([torch.zeros(1, dtype=torch.int64), nonzero.sum(1).cpu().cumsum(0)])
        narrow = torch.int16 if weight.shape[1] <= torch.iinfo(torch.int16).max else torch.int32
        columns = nonzero.nonzero()[:, 1]
        return {"values": weight[nonzero].contiguous(), "columns": columns.to(narrow), "rows": rows.to(torch.int32)}
    raise ValueError(f"unknown layout {layout!r}; the layouts are {', '.join(get_args(Layout))}")


def expand(
    parts: Mapping[str, Tensor],
    shape: tuple[int, int],  # (O, I)
    layout: Layout,
) -> Tensor:  # (O, I)
    """Return the matrix that `compress` took apart; ValueError where the parts do not make one of this shape."""
    nonzero = _by_mask(parts["mask"], shape) if layout == "bitmask" else _by_rows(parts, shape)
    values = parts["values"]
    if int(nonzero.sum()) != len(values):
        raise ValueError(f"{len(values)} values for {int(nonzero.sum())} entries that are not zero")
    weight = values.new_zeros(shape)
    weight[nonzero] = values
    return weight


def _by_mask(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    entries = shape[0] * shape[1]
    if len(mask) != -(-entries // 8):
        raise ValueError(f"a mask of {len(mask)} bytes for {entries} entries; it must have {-(-entries // 8)}")
    bits = np.unpackbits(mask.numpy(), count=entries)
    return torch.from_numpy(bits).bool().view(shape)


def _by_rows(parts: Mapping[str, Tensor], shape: tuple[int, int]) -> Tensor:
    rows, columns = parts["rows"].long(), parts["columns"].long()
    counts = rows.diff()
    ends = len(rows) == shape[0] + 1 and int(rows[0]) == 0 and int(rows[-1]) == len(columns)
    if not ends or (counts < 0).any() or ((columns < 0) | (columns >= shape[1])).any():
        raise ValueError(f"rows and columns that do not fit into a matrix of {shape[0]} x {shape[1]}")
    nonzero = torch.zeros(shape, dtype=torch.bool)
    nonzero[torch.arange(shape[0]).repeat_interleave(counts), columns] = True
    return nonzero


def size(parts: Mapping[str, Tensor]) -> int:
    """Return the bytes of the parts."""
    return sum(part.numel() * part.element_size() for part in parts.values())
