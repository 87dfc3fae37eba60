"""Move a damaged file or folder out of the way, so that a run goes on from what is whole."""

import logging
import os
import shutil
from pathlib import Path

SUFFIX = ".damaged"
_logger = logging.getLogger(__name__)


def set_aside(path: Path, why: str) -> None:
    """Rename `path` to `<path>.damaged`, in the place of an earlier one, and say so in one line of the log."""
    aside = path.with_name(f"{path.name}{SUFFIX}")
    remove(aside)
    os.rename(path, aside)
    _logger.warning(f"{path} {why}; it is set aside as {aside.name}, and what is whole is used")


def discard(path: Path, why: str) -> None:
    """Remove a damaged file or folder that is made anew anyhow, and say so in one line of the log."""
    try:
        remove(path)
    except OSError:  # a folder whose files nobody may list
        set_aside(path, why)
    else:
        _logger.warning(f"{path} {why}; it is removed, and made anew")


def make_room(path: Path) -> None:
    """Set aside what lies where a file is to be written or read, and is no file: a folder, a pipe, a broken link."""
    if os.path.lexists(path) and not path.is_file():
        set_aside(path, "is no file")


def make_room_for_folder(path: Path) -> None:
    """Set aside what lies where a folder is to be, and is none."""
    if os.path.lexists(path) and not path.is_dir():
        set_aside(path, "is no folder")


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
