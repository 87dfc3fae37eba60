"""Share the cores and GPUs of one machine among the runs of a sweep."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filelock import FileLock

_GPU_LOCKS: "list[FileLock]" = []  # this worker's GPU, held until its process ends


def threads_per_run(launcher: Mapping[str, Any]) -> int | None:
    """Return the CPU threads of a run under Hydra's `launcher`, at least one, and reserve a GPU for its worker.

    The cores of this process are shared among the launcher's workers. A job of Slurm has the cores that it asked for,
    also where it is not bound to them. None elsewhere.
    """
    workers = launcher.get("n_jobs")  # joblib's name; its negative numbers count from the number of cores
    if workers is None:
        cores_of_job = os.environ.get("SLURM_CPUS_PER_TASK", "")
        return int(cores_of_job) if cores_of_job.isdecimal() else None
    take_gpu()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (workers if workers > 0 else max(1, cores + 1 + workers)))


def take_gpu() -> None:
    """Let this process see only one GPU: one that no other worker on this machine has, or any if all are taken.

    Does nothing without GPUs, and nothing the second time.
    """
    import torch
    from filelock import FileLock, Timeout

    if _GPU_LOCKS or not torch.cuda.device_count():
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    folder = Path(tempfile.gettempdir()) / f"dsee-bench-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    os.environ["CUDA_VISIBLE_DEVICES"] = names[os.getpid() % len(names)]
    for name in names:
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _GPU_LOCKS.append(lock)
        os.environ["CUDA_VISIBLE_DEVICES"] = name
        return
