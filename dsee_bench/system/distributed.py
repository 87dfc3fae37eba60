"""One run over several processes, as torchrun and `accelerate launch` start them: each tunes on its share of every
batch; the first alone decides, writes and speaks, and the others learn from it what there is to do.

In a run of one process all of this does nothing.
"""

import datetime
import os
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = datetime.timedelta(days=7)  # the others wait while the first one writes texts, or waits for another run
# What gloo, NCCL and the store where processes meet say of one that has ended; gloo has no class of error for it.
ENDED = ("closed by peer", "reset by peer", "broken pipe", "remote process exited", "connection was likely closed")


def world_size() -> int:
    """How many processes the run has."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main_process() -> bool:
    """Whether this is the process that decides, writes and speaks."""
    return rank() == 0


def per_process(rows: int) -> int:
    """Rows of each process, of so many in a batch; ValueError if they cannot be shared out evenly."""
    if rows % world_size():
        raise ValueError(
            f"{rows} rows at once cannot be shared among {world_size()} processes; start a number of processes that "
            "divides train.batch_size / train.gradient_accumulation_steps, or change these"
        )
    return rows // world_size()


def join_group(*, on_cpu: bool) -> None:
    """Meet the other processes; each takes the GPU of its number, if the run is not on the processor."""
    import torch
    from torch import distributed

    if world_size() == 1 or distributed.is_initialized():
        return
    if not on_cpu:
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("gloo" if on_cpu else "cpu:gloo,cuda:nccl", timeout=PATIENCE)


def leave_group() -> None:
    """Part from the other processes, when the run has ended well for all."""
    if world_size() > 1:
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()


def other_ended(error: Exception) -> bool:
    """Whether the error is of the line to another process of the run, which has ended."""
    said = str(error).lower()
    return world_size() > 1 and isinstance(error, RuntimeError) and any(part in said for part in ENDED)


def from_main_process(find: Callable[[], T]) -> T:
    """What `find` gives in the first process, where alone it is called."""
    if world_size() == 1:
        return find()
    import torch
    from torch import distributed

    found = [find() if is_main_process() else None]
    distributed.broadcast_object_list(found, src=0, device=torch.device("cpu"))
    return found[0]  # type: ignore[return-value]


def barrier() -> None:
    """Until every process has come here."""
    from_main_process(lambda: None)
