"""Weights stored in 16 bits, for models that are larger than memory (`backbone.dtype`).

Only the storage is in 16 bits. Each module computes in the type of its input, float32 or what autocast asks for
(`train.precision`), and widens its weight for as long as it multiplies. So the outputs are those of a float32 model
whose weights were rounded once, on every processor, and gradients never pass through float16. What trains (task head,
adapters, coefficients, and biases or norms where these are tuned) is stored in float32.

Letters: O outputs, I inputs.
"""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from dsee_bench.models.spec import Dtype

STORED: tuple[torch.dtype, ...] = (torch.bfloat16, torch.float16)


def widened(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 if it is of fewer bits, else as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class StoredLinear(nn.Linear):
    """A Linear whose weight may be stored in 16 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        return _multiply(x, self.weight, self.bias)


class StoredConv1D(Conv1D):
    """transformers' Conv1D, a Linear with its weight (I, O), which may be stored in 16 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        return _multiply(x, self.weight.T, self.bias)


class StoredLayerNorm(nn.LayerNorm):
    """A LayerNorm whose scales and offsets may be stored in 16 bits."""

    def forward(self, x: Tensor) -> Tensor:
        """As its parent's."""
        x = x if torch.is_autocast_enabled(x.device.type) else widened(x)
        scales, offsets = (None if value is None else widened(value) for value in (self.weight, self.bias))
        return functional.layer_norm(x, self.normalized_shape, scales, offsets, self.eps)


CLASSES: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: StoredLinear,
    Conv1D: StoredConv1D,
    nn.LayerNorm: StoredLayerNorm,
}


class _Multiply(torch.autograd.Function):
    """x Wᵀ + b for x (N, I). The backward widens W again, so that no widened copy of it waits for the backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.x_dtype = x.dtype
        if torch.is_autocast_enabled(x.device.type):
            return functional.linear(x, weight, bias)  # which casts all three
        return functional.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        for_x = for_weight = for_bias = None
        if ctx.needs_input_grad[0]:
            for_x = (upstream @ weight.to(upstream.dtype)).to(ctx.x_dtype)
        if ctx.needs_input_grad[1]:
            for_weight = upstream.T @ x.to(upstream.dtype)
        if ctx.needs_input_grad[2]:
            for_bias = upstream.sum(0)
        return for_x, for_weight, for_bias


def _multiply(
    x: Tensor,  # (..., I)
    weight: Tensor,  # (O, I)
    bias: Tensor | None,  # (O,)
) -> Tensor:  # (..., O)
    x = x if torch.is_autocast_enabled(x.device.type) else widened(x)
    if weight.dtype not in STORED:
        return functional.linear(x, weight, bias)
    # Two axes, so that the output is no view: DeBERTa changes it in place.
    output: Tensor = _Multiply.apply(x.reshape(-1, x.shape[-1]), weight, bias)
    return output.view(*x.shape[:-1], -1)


def _widen_output(_: nn.Module, __: Any, output: Tensor) -> Tensor:
    return widened(output)


def store(model: PreTrainedModel, dtype: Dtype, trained: Collection[str]) -> None:
    """Store the weights in `dtype`, but for the parameters `trained`, in place; ValueError where one is too large."""
    stored = getattr(torch, dtype)
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(torch.float32 if name in trained else stored)
        if not bool(parameter.isfinite().all()):
            raise ValueError(
                f"{name} has entries beyond {torch.finfo(stored).max:.3g}, the largest number of "
                f"backbone.dtype={dtype}; use backbone.dtype=bfloat16"
            )
    model.config.dtype = stored
    compute_wide(model)


def compute_wide(model: nn.Module) -> None:
    """Let every module whose weights are stored in 16 bits compute as described above, in place.

    Norms that multiply by their weight themselves need no change: torch widens the product.
    """
    for module in model.modules():
        if not any(value.dtype in STORED for value in module.parameters(recurse=False)):
            continue
        if isinstance(module, nn.Embedding):
            module.register_forward_hook(_widen_output)
        elif type(module) in CLASSES:
            module.__class__ = CLASSES[type(module)]


def widen_parameters(model: nn.Module, names: Collection[str]) -> None:
    """Store these parameters in float32, in place: they train."""
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.data = widened(parameter.data)
