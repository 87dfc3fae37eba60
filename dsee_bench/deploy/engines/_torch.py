"""What the engines made of torch modules share."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from dsee_bench.deploy.engines import Batch, Deployed, Refused
from dsee_bench.system.provenance import device_name


class Product(nn.Module):
    """y = x W' + b with a W that torch keeps in a sparse layout, in the place of a Linear or Conv1D."""

    def __init__(
        self,
        weight: Tensor,  # (O, I), sparse
        bias: Tensor | None,  # (O,)
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply x (..., I). W stands on the left: torch is 3 to 20 times slower where it stands on the right."""
        weight: Any = self.weight
        product = (weight @ x.reshape(-1, x.shape[-1]).T).T.reshape(*x.shape[:-1], weight.shape[0])
        return product if self.bias is None else product + self.bias


def on_torch(module: nn.Module, precision: str, **more: Any) -> Deployed:
    """Return the module as it is, on the device where it lies."""
    device = next(iter(module.state_dict().values())).device
    module.eval()

    def run(batch: Batch) -> Tensor:
        with torch.inference_mode():
            found = module(**{name: value.to(device) for name, value in batch.items()})
        if device.type == "cuda":
            torch.cuda.synchronize()
        return getattr(found, "logits", found)

    name = device_name("cpu" if device.type == "cpu" else "auto")
    return Deployed(run, precision, more.pop("bytes", None) or bytes_of(module), name, module=module, **more)


def bytes_of(module: nn.Module) -> int:
    """Return the bytes of all weights, those that several names share once."""
    seen: dict[int, int] = {}
    for value in module.state_dict().values():
        parts = _parts(value)
        seen[parts[0].data_ptr()] = sum(part.numel() * part.element_size() for part in parts)
    return sum(seen.values())


def _parts(value: Tensor) -> tuple[Tensor, ...]:
    if value.layout in (torch.sparse_csr, torch.sparse_bsr):
        return value.values(), value.col_indices(), value.crow_indices()
    return (value,)


def with_sparse(
    module: nn.Module,
    made: Callable[[Tensor], Tensor | None],  # a weight (O, I) in a sparse layout; None: it stays as it is
    otherwise: str,
) -> tuple[nn.Module, int]:
    """Return a copy with its linear weights in a sparse layout, and how many; Refused with `otherwise` for none."""
    changed = 0
    copied = copy.deepcopy(module)
    for name, linear in list(copied.named_modules()):
        if type(linear) not in (nn.Linear, Conv1D):
            continue
        stored = linear.weight.detach()
        sparse = made(stored if type(linear) is nn.Linear else stored.T.contiguous())
        if sparse is None:
            continue
        bias = None if linear.bias is None else linear.bias.detach()
        parent, _, child = name.rpartition(".")
        setattr(copied.get_submodule(parent), child, Product(sparse, bias))
        changed += 1
    if not changed:
        raise Refused(otherwise)
    return copied, changed
