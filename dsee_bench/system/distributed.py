"""One run over several processes, as torchrun and `accelerate launch` start them.

Every process tunes on its share of each batch. The main process alone decides, writes and logs. In a run of one
process all of this does nothing.
"""

import datetime
import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FSDP = "ACCELERATE_USE_FSDP"  # "true" asks for it; `accelerate launch --use_fsdp` sets it
_asked = {FSDP: False}
PATIENCE = datetime.timedelta(days=7)  # workers wait while the main process generates texts or waits for another run
# In the errors of gloo, NCCL and the store after a process has ended; gloo has no class of its own for that.
ENDED = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "connection was likely closed")


def uses_fsdp() -> bool:
    """Return whether weights are shared out among the processes of the run while it tunes."""
    return _asked[FSDP]


def asks_for_fsdp() -> bool:
    """Return whether the tunings of the run will share out their weights; known before it joins its group."""
    return world_size() > 1 and (uses_fsdp() or _is_set(FSDP))


def _is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("1", "true")


def world_size() -> int:
    """Return the number of processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Return whether this process decides, writes and logs."""
    return rank() == 0


def per_process(rows: int) -> int:
    """Divide the rows of a batch by the number of processes; ValueError if they do not divide evenly."""
    if rows % world_size():
        raise ValueError(
            f"{rows} rows at once cannot be shared among {world_size()} processes; start a number of processes that "
            "divides train.batch_size / train.gradient_accumulation_steps, or change these"
        )
    return rows // world_size()


def join_group(*, on_cpu: bool) -> None:
    """Join the group of processes; each takes the GPU of its local rank, unless the run is on the CPU."""
    import torch
    from torch import distributed

    if world_size() == 1 or distributed.is_initialized():
        return
    # The tunings alone are sharded (training/sharded.py): each process loads and scores a whole model.
    _asked[FSDP] = _is_set(FSDP)
    os.environ[FSDP] = os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    if not on_cpu:
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("gloo" if on_cpu else "cpu:gloo,cuda:nccl", timeout=PATIENCE)


def leave_group() -> None:
    """Leave the group of processes after a run that ended well for all."""
    if world_size() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def other_ended(error: Exception) -> bool:
    """Return whether the error comes from another process of the run that has ended."""
    text = str(error).lower()
    return world_size() > 1 and isinstance(error, RuntimeError) and any(part in text for part in ENDED)


def from_main_process(compute: Callable[[], T]) -> T:
    """Call `compute` in the main process alone, and return its result in every process."""
    if world_size() == 1:
        return compute()
    import torch
    from torch import distributed

    result = [compute() if is_main_process() else None]
    distributed.broadcast_object_list(result, src=0, device=torch.device("cpu"))
    return result[0]  # type: ignore[return-value]


def mean(value: float) -> float:
    """Return the mean of a number over the processes."""
    if world_size() == 1:
        return value
    import torch
    from torch import distributed

    total = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(total)
    return total.item() / world_size()


def barrier() -> None:
    """Wait until every process is here."""
    from_main_process(lambda: None)
