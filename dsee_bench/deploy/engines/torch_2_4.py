"""torch's 2:4 kernels on NVIDIA cards from Ampere on: two of four neighbouring inputs are skipped, in float16."""

import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from dsee_bench.deploy.engines import Deployed, Refused, Source
from dsee_bench.deploy.engines._torch import bytes_of, on_torch, with_sparse

NEEDED: tuple[str, ...] = ()
SKIPS = ("2:4",)
CAPABILITY = (8, 0)  # Ampere
NO_PATTERN = "no linear weight has 2 zeros in each 4 neighbouring inputs; method=omp_2_4 prunes so"


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the model in float16 with its 2:4 weights packed; Refused without a fitting card or such weights."""
    _check_card()
    try:
        module, changed = with_sparse(_on_card(source.module), _packed, NO_PATTERN)
    except RuntimeError as error:  # a shape that the kernel does not take
        raise Refused(str(error).splitlines()[0]) from error
    size = bytes_of(source.module) // 2  # torch does not say what the packed weights take: 9/16 of theirs
    return on_torch(module, "fp16", bytes=size, note=f"{changed} weights packed; bytes are those of dense float16")


def deploy_dense(source: Source, folder: Path) -> Deployed:
    """Return the model in float16 on the card."""
    _check_card()
    return on_torch(_on_card(source.module), "fp16")


def _check_card() -> None:
    if not torch.cuda.is_available():
        raise Refused("needs an NVIDIA card of compute capability 8.0 or higher; none is here")
    if torch.cuda.get_device_capability() < CAPABILITY:
        raise Refused(f"needs compute capability 8.0 or higher; {torch.cuda.get_device_name()} has less")


def _on_card(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).to("cuda").half()


def _packed(weight: Tensor) -> Tensor | None:
    return to_sparse_semi_structured(weight.contiguous()) if is_2_4(weight) else None


def is_2_4(
    weight: Tensor,  # (O, I)
) -> bool:
    """Return whether each 4 neighbouring inputs of every output have 2 zeros or more."""
    outputs, inputs = weight.shape
    return inputs % 4 == 0 and bool(((weight.view(outputs, inputs // 4, 4) != 0).sum(2) <= 2).all())
