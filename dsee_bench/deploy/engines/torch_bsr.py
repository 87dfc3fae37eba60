"""torch with pruned weights in rows of square blocks: blocks of zeros are skipped (MKL on a CPU)."""

import warnings
from pathlib import Path

from torch import Tensor

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines._torch import on_torch, with_sparse
from dsee_bench.deploy.engines.torch import deploy as deploy_dense

__all__ = ["deploy", "deploy_dense"]
NEEDED: tuple[str, ...] = ()
SKIPS = ("blocks",)
SIDES = (64, 32, 16, 8, 4)  # of the blocks, the largest that fits the zeros is taken
HALF = 0.5  # of a weight's zeros that must lie in whole blocks
NO_BLOCKS = f"no linear weight has half of its zeros in blocks of {SIDES[-1]} x {SIDES[-1]} or larger"


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the model with every linear weight that has blocks of zeros in BSR; Refused where none has."""
    module, changed = with_sparse(source.module, _bsr, NO_BLOCKS)
    return on_torch(module, "fp32", note=f"{changed} weights in BSR, indices of 8 bytes")


def _bsr(weight: Tensor) -> Tensor | None:
    side = next((side for side in SIDES if _fits(weight, side)), None)
    if side is None:
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse BSR tensor support is in beta")
        return weight.to_sparse_bsr((side, side))


def _fits(weight: Tensor, side: int) -> bool:
    """Whether at least half of the zeros lie in empty blocks of this side."""
    outputs, inputs = weight.shape
    zeros = weight == 0
    if outputs % side or inputs % side or not bool(zeros.any()):
        return False
    empty = zeros.view(outputs // side, side, inputs // side, side).all(3).all(1)
    return int(empty.sum()) * side * side >= HALF * int(zeros.sum())
