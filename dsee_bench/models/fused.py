"""Fused weights taken apart: GPT-2's `c_attn` and DeBERTa's `in_proj` hold query, key and value in one module.

Stages adapt, prune and narrow query and value without the key, and PEFT's methods sit on whole modules. So a loaded
model has three Linear modules in the place of the one, whose outputs are put together again. `join` undoes it, for
export: the model then has transformers' own modules and names.

Letters: O outputs of each part, I inputs, D features a head, H heads.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

PARTS = ("query", "key", "value")
FUSED = {
    "gpt2": ".c_attn",
    "deberta": ".in_proj",
}  # by model type, how the fused modules' names end


class Fused(nn.Module):
    """Query, key and value of one input, as the one output of the module that they replace."""

    def __init__(self, whole: nn.Linear | Conv1D, head_size: int | None) -> None:
        super().__init__()
        self.transposed = isinstance(whole, Conv1D)  # it stored (I, 3 O)
        self.head_size = head_size  # D where the rows are laid out head by head, each [query, key, value]; else None
        weight = whole.weight.detach().T if self.transposed else whole.weight.detach()
        biases = [None] * len(PARTS) if whole.bias is None else self._apart(whole.bias.detach())
        for name, part, bias in zip(PARTS, self._apart(weight), biases, strict=True):
            self.add_module(name, linear(part, bias))

    def _apart(self, rows: Tensor) -> list[Tensor]:
        if self.head_size is None:
            return list(rows.chunk(len(PARTS)))
        heads = rows.unflatten(0, (-1, len(PARTS), self.head_size))
        return [heads[:, part].flatten(0, 1) for part in range(len(PARTS))]

    def _together(self, parts: list[Tensor], axis: int) -> Tensor:
        if self.head_size is None:
            return torch.cat(parts, axis)
        by_head = [part.unflatten(axis, (-1, self.head_size)) for part in parts]
        after = axis if axis < 0 else axis + 1
        return torch.cat(by_head, after).flatten(*((-2, -1) if axis < 0 else (axis, after)))

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) to (..., 3 O)."""
        return self._together([getattr(self, name)(x) for name in PARTS], -1)

    def whole(self) -> nn.Linear | Conv1D:
        """One module again, of the kind there was; adapters must be merged before."""
        parts = [getattr(self, name) for name in PARTS]
        if not all(type(part) is nn.Linear for part in parts):
            raise ValueError("an update is still on query, key or value; merge it before the three are joined")
        weight = self._together([part.weight.detach() for part in parts], 0)
        bias = None if parts[0].bias is None else self._together([part.bias.detach() for part in parts], 0)
        if not self.transposed:
            return linear(weight, bias)
        whole = Conv1D(weight.shape[0], 0)
        whole.nx = weight.shape[1]
        whole.weight = nn.Parameter(weight.T.contiguous())
        whole.bias = nn.Parameter(weight.new_zeros(weight.shape[0]) if bias is None else bias)
        return whole


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
    """Take apart, in place, the fused modules of a family that has some."""
    ending = FUSED.get(model.config.model_type)
    if ending is None:
        return
    head_size = model.config.hidden_size // model.config.num_attention_heads if ending == ".in_proj" else None
    for name in [name for name, _ in model.named_modules() if name.endswith(ending)]:
        model.set_submodule(name, Fused(model.get_submodule(name), head_size))


def join(model: nn.Module) -> None:
    """Put every split module of `model` together again, in place."""
    for name, module in [(name, module) for name, module in model.named_modules() if isinstance(module, Fused)]:
        model.set_submodule(name, module.whole())
