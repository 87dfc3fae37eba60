"""torch as it is: zeros cost what other entries cost, removed heads and neurons do not."""

from pathlib import Path

from dsee_bench.deploy.engines import Deployed, Source
from dsee_bench.deploy.engines._torch import on_torch

NEEDED: tuple[str, ...] = ()


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the module itself, in float32."""
    return on_torch(source.module, "fp32")
