"""S2, the sparse part of a DSEE adapter: K trained values at K fixed positions, never a dense matrix.

y += x S2ᵀ for S2 (O, I) with S2[row_k, column_k] = value_k: gather K input columns, multiply, scatter-add into K output
columns. The gathered columns are gathered again in the backward rather than kept, so the only memory that S2 asks for
is the positions and the values (and N x K numbers for a moment).

Letters: N tokens, O outputs, I inputs, K entries.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class AddEntries(torch.autograd.Function):
    """`result` + x S2ᵀ, written into `result`."""

    @staticmethod
    def forward(
        ctx: Any,  # torch's own type for it declares no saved tensors
        result: Tensor,  # (..., O), changed in place
        x: Tensor,  # (..., I)
        values: Tensor,  # (K,), the scale s already in them; rounded to x's precision, as autocast does with weights
        positions: Tensor,  # (2, K), rows and columns
    ) -> Tensor:  # (..., O)
        rows, columns = _everywhere(positions, x)
        added = x.gather(-1, columns) * values.to(x.dtype)
        result.scatter_add_(-1, rows, added.to(result.dtype))
        ctx.save_for_backward(x, values, positions)
        ctx.mark_dirty(result)
        return result

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        upstream: Tensor,  # (..., O)
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, values, positions = ctx.saved_tensors
        rows, columns = _everywhere(positions, x)
        chosen = upstream.gather(-1, rows)
        for_x = for_values = None
        if ctx.needs_input_grad[1]:
            given = chosen * values.to(chosen.dtype)
            for_x = torch.zeros_like(x).scatter_add_(-1, columns, given.to(x.dtype))
        if ctx.needs_input_grad[2]:
            products = chosen * x.gather(-1, columns)
            for_values = products.reshape(-1, len(values)).sum(0, dtype=values.dtype)
        return upstream, for_x, for_values, None


def _everywhere(
    positions: Tensor,  # (2, K)
    x: Tensor,  # (..., I)
) -> tuple[Tensor, Tensor]:  # both (..., K), int64, without memory for the leading axes
    """Rows and columns, repeated for every token: the form in which gather and scatter_add want them."""
    rows, columns = positions.long()
    shape = (*x.shape[:-1], len(rows))
    return rows.expand(shape), columns.expand(shape)
