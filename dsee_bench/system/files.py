"""Writing files: where the tool may write, atomically, under which names; damaged files are moved out of the way.

A file may replace a file. A symbolic link, a named pipe, a socket or a device in its place is refused by name. The
folder that a user names may be a link to a folder, as to a results folder on another disk.
"""

import hashlib
import logging
import os
import re
import shutil
import stat
import uuid
from pathlib import Path

DAMAGED = ".damaged"  # ends the name of what is set aside
LONGEST_NAME = 100  # characters of a file's name, before its ending
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
}
_logger = logging.getLogger(__name__)


def kind(path: Path) -> str | None:
    """Return in words what lies at `path`, without following links; None for nothing."""
    try:
        return KINDS.get(stat.S_IFMT(path.lstat().st_mode), "a special file")
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_file(path: Path) -> None:
    """ValueError unless a file can be written to `path`: nothing is there, or a file."""
    if kind(path) not in (None, "a file"):
        raise ValueError(
            f"{path} is {kind(path)}, and only a file is written over; move it away, or give another folder"
        )


def check_folder(path: Path) -> None:
    """ValueError unless `path` can be a folder to write into: nothing is there, a folder, or a link to one."""
    while kind(path) is None and path != path.parent:
        path = path.parent
    if not path.is_dir():
        raise ValueError(f"{path} is {kind(path)}, and no folder to write into; move it away, or give another folder")


def check_own_folder(path: Path) -> None:
    """ValueError if `path`, or a file directly in it, is a link or a special file: the tool replaces files there."""
    if kind(path) not in (None, "a folder"):
        raise ValueError(f"{path} is {kind(path)}, and must be a folder; move it away, or give another results_dir")
    for inner in path.iterdir() if path.is_dir() else ():
        if kind(inner) not in (None, "a folder", "a file"):
            raise ValueError(f"{inner} is {kind(inner)}, not a file of the tool; move it away")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary file, flushed to disk, then renamed.

    ValueError where something else than a file is in its place.
    """
    check_folder(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # not mkstemp, whose files others cannot read
    try:
        with temporary.open("xb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        check_file(path)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def opener(path: str, flags: int) -> int:
    """Open for `open(path, "a", opener=opener)`; ValueError for a link, a pipe or a device, which could block."""
    check_file(Path(path))
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ValueError(f"{path} is no file; move it away")
    return number


def plain(text: str) -> str:
    """Replace all but letters, digits, `_`, `-` and dots, and a dot in front, which would hide a file."""
    return re.sub(r"^\.", "_", re.sub(r"[^A-Za-z0-9_.-]+", "_", text))


def file_name(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a file's name for any text: the text if it is plain and short, else its plain part and a hash of it."""
    if text == plain(text)[:longest] and text:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain(text)[: longest - len(mark) - 1]}-{mark}"


def set_aside(path: Path, why: str) -> None:
    """Rename `path` to `<path>.damaged`, over an earlier one, and log one line."""
    aside = path.with_name(f"{path.name}{DAMAGED}")
    remove(aside)
    os.rename(path, aside)
    _logger.warning(f"{path} {why}; it is set aside as {aside.name}")


def discard(path: Path, why: str) -> None:
    """Remove a damaged file or folder that is made again, and log one line."""
    try:
        remove(path)
    except OSError:  # a folder whose files nobody may list
        set_aside(path, why)
    else:
        _logger.warning(f"{path} {why}; it is removed, and made again")


def make_room(path: Path) -> None:
    """Set aside what lies in the place of a file and is none: a folder, a pipe, a broken link."""
    if os.path.lexists(path) and not path.is_file():
        set_aside(path, "is no file")


def make_room_for_folder(path: Path) -> None:
    """Set aside what lies in the place of a folder and is none."""
    if os.path.lexists(path) and not path.is_dir():
        set_aside(path, "is no folder")


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
