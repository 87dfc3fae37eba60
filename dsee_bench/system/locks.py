"""Locks that the system frees when their process dies."""

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

from dsee_bench.system.files import make_room

if TYPE_CHECKING:
    from filelock import FileLock


def lock_at(path: Path) -> "FileLock":
    """Return the lock of this file; what lies there and is no file is set aside."""
    from filelock import FileLock

    make_room(path)
    return FileLock(path)


def run_lock(work: Path) -> Path:
    """Return the lock file of a run, which the process that works on it holds."""
    return work / "run.lock"


def held(lock: Path) -> bool:
    """Return whether a live process holds the lock, without taking it; read permission is enough."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # absent, or on a file system without locks
        return False
    return False
