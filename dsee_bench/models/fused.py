"""Split fused weights: GPT-2's `c_attn` holds query, key and value in one module, for example.

Stages adapt, prune and narrow each part alone, and PEFT's methods sit on whole modules. So a loaded model has one
Linear module for each of the P parts, and their outputs are concatenated. `join` undoes it for an export: the model
then has transformers' own modules and names.

Letters: P parts, O outputs of all parts together, I inputs, D features of a head.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from dsee_bench.models.families import families


class Fused(nn.Module):
    """Several weights of one input, with their outputs in one tensor, as the module that they replace has them.

    `shares` says how the outputs divide among the parts: (2, 1, 1) where two query heads share a key and a value head.
    """

    def __init__(
        self, whole: nn.Linear | Conv1D, parts: tuple[str, ...], shares: tuple[int, ...], head_size: int | None
    ) -> None:
        super().__init__()
        self.parts = parts
        self.shares = shares
        self.transposed = isinstance(whole, Conv1D)  # it stored (I, O)
        self.head_size = head_size  # D where the rows are laid out head by head, each with all parts; else None
        weight = whole.weight.detach().T if self.transposed else whole.weight.detach()
        biases = [None] * len(parts) if whole.bias is None else self._apart(whole.bias.detach())
        for name, part, bias in zip(parts, self._apart(weight), biases, strict=True):
            self.add_module(name, linear(part, bias))
        self.requires_grad_(whole.weight.requires_grad)

    def _apart(self, rows: Tensor) -> list[Tensor]:
        if self.head_size is None:
            return list(rows.split([len(rows) // sum(self.shares) * share for share in self.shares]))
        heads = rows.unflatten(0, (-1, len(self.parts), self.head_size))
        return [heads[:, part].flatten(0, 1) for part in range(len(self.parts))]

    def _together(self, parts: list[Tensor], axis: int) -> Tensor:
        if self.head_size is None:
            return torch.cat(parts, axis)
        by_head = [part.unflatten(axis, (-1, self.head_size)) for part in parts]
        after = axis if axis < 0 else axis + 1
        return torch.cat(by_head, after).flatten(*((-2, -1) if axis < 0 else (axis, after)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., O)."""
        return self._together([getattr(self, name)(x) for name in self.parts], -1)

    def rows(self) -> list[Tensor]:
        """The rows of the whole weight that each part has, ascending."""
        sizes = [getattr(self, name).weight.shape[0] for name in self.parts]
        which = self._together([torch.full((size,), part) for part, size in enumerate(sizes)], 0)
        return [(which == part).nonzero()[:, 0] for part in range(len(sizes))]

    def whole(self) -> nn.Linear | Conv1D:
        """One module again, of the kind there was; adapters must be merged before."""
        parts = [getattr(self, name) for name in self.parts]
        if not all(isinstance(part, nn.Linear) for part in parts):
            raise ValueError(f"an adapter is still on {', '.join(self.parts)}; merge it before they are joined")
        weight = self._together([part.weight.detach() for part in parts], 0)
        bias = None if parts[0].bias is None else self._together([part.bias.detach() for part in parts], 0)
        trains = parts[0].weight.requires_grad
        if not self.transposed:
            return linear(weight, bias).requires_grad_(trains)
        whole = Conv1D(weight.shape[0], 0)
        whole.nx = weight.shape[1]
        whole.weight = nn.Parameter(weight.T.contiguous())
        whole.bias = nn.Parameter(weight.new_zeros(weight.shape[0]) if bias is None else bias)
        return whole.requires_grad_(trains)


def linear(
    weight: Tensor,  # (O, I)
    bias: Tensor | None,  # (O,)
) -> nn.Linear:
    """A Linear that holds its own copies of these."""
    with torch.device("meta"):
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    module.weight = nn.Parameter(weight.clone(memory_format=torch.contiguous_format))
    if bias is not None:
        module.bias = nn.Parameter(bias.clone())
    return module


def split(model: PreTrainedModel) -> None:
    """Split, in place, the fused modules of a family that has some."""
    family = families().get(model.config.model_type)
    if family is None:
        return
    numbers = family.numbers(model.config)
    head_size = numbers["hidden"] // numbers["heads"] if family.by_head else None
    queries_per_key = numbers["heads"] // numbers.get("key_heads", numbers["heads"])
    for name, module in list(model.named_modules()):
        for end, parts in family.fused.items():
            if name.endswith(end):
                shares = tuple(queries_per_key if part == "query" else 1 for part in parts)
                model.set_submodule(name, Fused(module, parts, shares, head_size))


def join(model: nn.Module) -> None:
    """Put every split module of `model` together again, in place."""
    for name, module in [(name, module) for name, module in model.named_modules() if isinstance(module, Fused)]:
        model.set_submodule(name, module.whole())
