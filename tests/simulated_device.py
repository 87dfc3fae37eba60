"""A device that is not there: its tensors hold their numbers on the CPU, and refuse to meet those of the CPU.

Every operation is computed by the CPU's kernels, so values are real and code that reads them (`item`, `nonzero`) runs;
an operation that mixes both devices fails as on a GPU. It goes by the name `meta`, which torch knows without a driver.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
INDEXED = {"index", "index_put_", "index_put", "_index_put_impl_"}  # indices may lie on the CPU


class OnDevice(Tensor):
    """A tensor of the simulated device; `inner` holds its numbers."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnDevice":
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=DEVICE,
        )
        made.inner = inner
        return made

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __repr__(self) -> str:
        return f"OnDevice({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        return compute(function, arguments, named or {})


class Simulated(TorchDispatchMode):
    """While it stands, what is made on the device is a tensor of it."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        return compute(function, arguments, named or {})


def compute(function: Any, arguments: Any, named: dict[str, Any]) -> Any:
    """Compute an operation on the CPU; RuntimeError where its tensors lie on both devices."""
    name = function.overloadpacket.__name__
    tensors = [each for each in tree_flatten((arguments, named))[0] if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, OnDevice)]
    asked = [each for each in tree_flatten((arguments, named))[0] if isinstance(each, torch.device)]
    result_there = asked[0].type == DEVICE.type if asked else bool(there)
    if name == "copy_":
        result_there = isinstance(arguments[0], OnDevice)
    elif there and name not in ("_to_copy", "to"):
        indices = {id(each) for each in tree_flatten(arguments[1])[0]} if name in INDEXED else set()
        here = [t for t in tensors if not isinstance(t, OnDevice) and t.dim() > 0 and id(t) not in indices]
        if here:
            shapes = [tuple(t.shape) for t in here]
            raise RuntimeError(
                f"{function}: expected all tensors on the same device, but some lie on the CPU: {shapes}"
            )
    if named.get("generator") is not None and result_there:
        raise RuntimeError(f"{function}: expected a generator of the device, but its is the CPU's")
    with torch._C._DisableTorchDispatch():
        out = function(*tree_map(plain, arguments), **tree_map(plain, named))
    out = tree_map(lambda value: OnDevice(value) if isinstance(value, Tensor) and result_there else value, out)
    return return_and_correct_aliasing(function, arguments, named, out) if there else out


def plain(value: Any) -> Any:
    """A tensor's numbers, on the CPU; of a device the CPU; anything else as it is."""
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.inner if isinstance(value, OnDevice) else value


@contextmanager
def simulated_device() -> Iterator[torch.device]:
    """Simulate a device: `model.to(device)` and all that follows from `.device` works. It has no autocast."""
    enabled, autocast, tensor = torch.is_autocast_enabled, torch.autocast, torch.tensor  # the last asks no mode
    with pytest.MonkeyPatch.context() as patch, Simulated():
        patch.setattr(torch, "is_autocast_enabled", lambda *of: of != (DEVICE.type,) and enabled(*of))
        patch.setattr(torch, "tensor", lambda *of, device=None, **named: tensor(*of, **named).to(device or "cpu"))
        patch.setattr(
            torch, "autocast", lambda of, *a, **b: nullcontext() if of == DEVICE.type else autocast(of, *a, **b)
        )
        yield DEVICE
