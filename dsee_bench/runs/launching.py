"""Several runs at once on one machine: each worker's share of its cores and GPUs."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

_TAKEN: list[FileLock] = []  # this worker's GPU, held until its process ends


def share_of(launcher: Mapping[str, Any]) -> int | None:
    """CPU threads for a run under Hydra's `launcher`: the cores of this process shared among its workers, at least one.
    None where the launcher starts no workers on this machine. The worker also takes a GPU, if there is one left."""
    workers = launcher.get("n_jobs")  # joblib's name; its negative numbers count from the number of cores
    if workers is None:
        return None
    take_gpu()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (workers if workers > 0 else max(1, cores + 1 + workers)))


def take_gpu() -> None:
    """Let this process see one GPU alone: one that no other worker on this machine has, or where all are taken any of
    them. Does nothing without GPUs, and nothing the second time."""
    import torch

    if _TAKEN or not torch.cuda.device_count():
        return
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]
    folder = Path(tempfile.gettempdir()) / f"dsee-bench-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["CUDA_VISIBLE_DEVICES"] = names[os.getpid() % len(names)]
    for name in names:
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _TAKEN.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = name
        return
