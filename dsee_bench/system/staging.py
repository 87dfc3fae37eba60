"""Folders that are made under another name and renamed when whole, and the removal of those that died halfway."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsee_bench.system.files import HALF, LONGEST_NAME, half_name


@contextmanager
def half_made(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, to be filled and renamed in the block; removed where that fails. Those that dead
    processes left beside `target` are removed first."""
    for left in dead(target.parent, f".{target.name[:LONGEST_NAME]}."):
        shutil.rmtree(left, ignore_errors=True)
    folder = half_name(target)
    folder.mkdir(parents=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def dead(parent: Path, start: str = ".") -> list[Path]:
    """Half-made folders in `parent` whose names begin so and whose processes are gone."""
    if not parent.is_dir():
        return []
    found = [path for path in parent.iterdir() if path.name.startswith(start) and path.name.endswith(HALF)]
    return [path for path in sorted(found) if path.is_dir() and not path.is_symlink() and not _held(path)]


def _held(folder: Path) -> bool:
    """Whether a live process holds the folder, or nobody can tell."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(number)
    return False
