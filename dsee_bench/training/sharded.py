"""A tuning with weights, gradients and optimizer shared out among processes: FSDP2, by accelerate's own settings.

`accelerate launch --use_fsdp --fsdp_version 2` or the variable ACCELERATE_USE_FSDP=true asks for it. A copy of the
model is sharded and tuned, and its values are gathered into the model at the end: pruning, scores, exports and the
record see whole weights. So a process holds the whole model, in a copy beside its part while it tunes.
"""

import copy
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from dsee_bench.system import distributed
from dsee_bench.system.errors import UserError
from dsee_bench.training.job import Job

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@contextmanager
def sharding(job: Job) -> Iterator["PreTrainedModel"]:
    """Give the model to train: a copy that accelerate may shard, or the job's own where FSDP is not asked for."""
    if not distributed.uses_fsdp():
        yield job.model
        return
    _check(job)
    copied = copy.deepcopy(job.model)
    os.environ[distributed.FSDP] = "true"
    try:
        yield copied
    finally:
        os.environ[distributed.FSDP] = "false"
    gather(copied, job.model)


def _check(job: Job) -> None:
    """UserError for another version of FSDP, and for a tuning that works on whole weights after each step."""
    version = os.environ.get("FSDP_VERSION", "1")  # accelerate's own default
    if version != "2":
        raise UserError(
            f"FSDP version {version} is asked for, and 2 is known here; add --fsdp_version 2 (FSDP_VERSION=2)"
        )
    for what, asked in (
        ("masks in weights that train", job.masks),
        ("something to do after each step", job.after_step),
        ("a penalty on weights", job.penalties),
    ):
        if asked:
            raise UserError(
                f"{job.name} has {what}, and FSDP shares the weights out among processes; start without FSDP "
                "(torchrun), or choose a method that tunes an adapter or all weights, as method=dsee or method=full"
            )


def gather(sharded: torch.nn.Module, whole: torch.nn.Module) -> None:
    """Copy the values of a sharded model into the whole one, in every process."""
    reshard(sharded)
    values = {**dict(sharded.named_parameters()), **dict(sharded.named_buffers())}
    with torch.no_grad():
        for name, target in [*whole.named_parameters(), *whole.named_buffers()]:
            target.copy_(whole_tensor(values[name]))


def reshard(model: torch.nn.Module) -> None:
    """Let each process hold its parts again: after an evaluation some modules still refer to whole, freed weights."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole_tensor(value: Any) -> torch.Tensor:
    """Return all of a tensor, of which this process may have a part."""
    from torch.distributed.tensor import DTensor

    # What comes back may still be on its way; a copy waits for it.
    found: torch.Tensor = value.full_tensor().clone() if isinstance(value, DTensor) else value
    return found


def part_of(value: torch.Tensor, like: Any) -> torch.Tensor:
    """Return this process's part of a whole tensor, sharded as `like` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    part: torch.Tensor = distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return part


def load_trained(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Give the parameters and buffers of a sharded model the values of a checkpoint."""
    reshard(model)
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(part_of(value.to(own[name].device), own[name]))


def whole_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return the optimizer's state as one process has it; every process must call it."""
    state: dict[str, Any] = optimizer.state_dict()
    whole = {
        index: {key: whole_tensor(value) for key, value in values.items()} for index, values in state["state"].items()
    }
    return {**state, "state": whole}


def load_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Give a sharded optimizer the state that `whole_state` returned."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = {
        index: {key: part_of(value, parameters[index]) for key, value in values.items()}
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": parts})


def use_fsdp_on_cpu(accelerator: Any) -> None:
    """Let accelerate shard on CPUs, too: it reads its own settings for FSDP on accelerators alone."""
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    state = accelerator.state
    plugin = FullyShardedDataParallelPlugin()
    if state.mixed_precision != "no":
        plugin.set_mixed_precision(state.mixed_precision)
    state.distributed_type = DistributedType.FSDP
    type(state)._shared_state["distributed_type"] = DistributedType.FSDP
    state.fsdp_plugin = plugin
