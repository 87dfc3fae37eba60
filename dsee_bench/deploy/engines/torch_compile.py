"""torch with the model compiled (torch.compile, inductor): small operations are joined; zeros cost as other entries."""

import dataclasses
import shutil
from pathlib import Path

import torch

from dsee_bench.deploy.engines import Deployed, Refused, Source
from dsee_bench.deploy.engines._torch import bytes_of, on_torch

NEEDED: tuple[str, ...] = ()
ONE_WEIGHT = False  # there is nothing to join in one weight


def deploy(source: Source, folder: Path) -> Deployed:
    """Return the compiled module, for any number of rows and tokens; Refused where there is nothing to compile with."""
    device = next(iter(source.module.state_dict().values())).device
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise Refused("torch.compile writes C++ for a processor, and there is no g++ or clang++ here")
    compiled: torch.nn.Module = torch.compile(source.module, dynamic=True)  # type: ignore[assignment]
    deployed = on_torch(compiled, "fp32", bytes=bytes_of(source.module), note="compiled by inductor at the first pass")
    return dataclasses.replace(deployed, module=None)  # transformers' generate would run what is not compiled
