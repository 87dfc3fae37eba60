"""torch with pruned weights as compressed sparse rows: scattered zeros are skipped (MKL on a CPU)."""

import warnings
from pathlib import Path

from torch import Tensor

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines._torch import on_torch, with_sparse
from dsee_bench.deploy.engines.torch import deploy as deploy_dense

__all__ = ["deploy", "deploy_dense"]
NEEDED: tuple[str, ...] = ()
SKIPS = ("single", "2:4", "blocks")
NO_ZEROS = "no linear weight has zeros; where an adapter was merged over them, export_adapter=apart keeps them"


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the model with every linear weight that has zeros in CSR; Refused where none has."""
    module, changed = with_sparse(source.module, _csr, NO_ZEROS)
    return on_torch(module, "fp32", note=f"{changed} weights in CSR, indices of 8 bytes")


def _csr(weight: Tensor) -> Tensor | None:
    if bool((weight != 0).all()):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return weight.to_sparse_csr()
