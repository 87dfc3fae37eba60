"""Coefficients on a module's inputs: one for each group of neighbouring features, multiplied in before the module."""

from typing import Any

import torch
from torch import Tensor, nn

NAME = "coefficient"  # of the child that holds them


class Coefficient(nn.Module):
    """G trained numbers, each for `size` features."""

    def __init__(self, groups: int, size: int, device: torch.device) -> None:
        super().__init__()
        self.size = size
        self.values = nn.Parameter(torch.ones(groups, device=device))

    def multiply(self, _: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """A forward pre-hook: the module's first argument (..., G size) times the coefficients."""
        return arguments[0] * self.by_feature, *arguments[1:]

    @property
    def by_feature(self) -> Tensor:
        """(G size,), each coefficient repeated for its features."""
        return self.values.repeat_interleave(self.size)


def attach(module: nn.Module, groups: int, size: int) -> None:
    """Put coefficients of one before `module`, in place."""
    child = Coefficient(groups, size, next(module.parameters()).device)
    module.add_module(NAME, child)
    child.handle = module.register_forward_pre_hook(child.multiply)  # type: ignore[assignment]


def coefficients_of(module: nn.Module) -> Tensor | None:
    """The coefficients (G,) before `module`; None where there are none."""
    child = dict(module.named_children()).get(NAME)
    return child.values if isinstance(child, Coefficient) else None


def detach(module: nn.Module) -> Tensor:
    """Take the coefficients away; they are given back by feature (G size,), to be multiplied into the columns."""
    child: Any = module.get_submodule(NAME)
    child.handle.remove()
    delattr(module, NAME)
    return child.by_feature.detach()
