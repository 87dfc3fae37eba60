"""Who works on what: locks that the system frees when their process dies, and a look at them that takes none."""

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING

from dsee_bench.system.files import make_room

if TYPE_CHECKING:
    from filelock import FileLock


def lock_at(path: Path) -> "FileLock":
    """The lock in this file; what lies there and is no file is set aside."""
    from filelock import FileLock

    make_room(path)
    return FileLock(path)


def run_lock(work: Path) -> Path:
    """The lock of the run whose work files lie in `work`, held by the one process that works on it."""
    return work / "run.lock"


def held(lock: Path) -> bool:
    """Whether a live process holds `lock` (a filelock.FileLock); a folder that may only be read will do."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # it is not there, or nobody can lock it
        return False
    return False
