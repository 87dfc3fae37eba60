"""Where the tool may write, how it writes, and what its files are called.

A file is written where nothing is, or over a file. A symbolic link, a named pipe, a socket or a device in its place is
somebody else's, and is refused by name. The folder that a user names may be a link to a folder: a results folder on
another disk is one.
"""

import hashlib
import os
import re
import stat
import uuid
from pathlib import Path

HALF = ".half"  # the end of the name of a folder that is being made
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


def kind(path: Path) -> str | None:
    """What lies at `path`, in words, links not followed; None for nothing."""
    try:
        return KINDS.get(stat.S_IFMT(path.lstat().st_mode), "a special file")
    except (FileNotFoundError, NotADirectoryError):
        return None


def check_file(path: Path) -> None:
    """ValueError unless a file can be written to `path`: nothing is there, or a file."""
    found = kind(path)
    if found not in (None, "a file"):
        raise ValueError(f"{path} is {found}, and only a file is written over; move it away, or give another folder")


def check_folder(path: Path) -> None:
    """ValueError unless `path` can be a folder to write into: nothing is there, a folder, or a link to one."""
    while kind(path) is None and path != path.parent:
        path = path.parent
    if not path.is_dir():
        raise ValueError(f"{path} is {kind(path)}, and no folder to write into; move it away, or give another folder")


def check_own_folder(path: Path) -> None:
    """ValueError where a link or a special file lies at `path` or directly in it, whose files the tool replaces."""
    if kind(path) not in (None, "a folder"):
        raise ValueError(f"{path} is {kind(path)}, and must be a folder; move it away, or give another results_dir")
    for inner in path.iterdir() if path.is_dir() else ():
        if kind(inner) not in (None, "a folder", "a file"):
            raise ValueError(f"{inner} is {kind(inner)}, not a file of the tool; move it away")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Put `content` at `path` so that a reader, a crash or a full disk never leaves half of it there; ValueError where
    something else than a file is in its place."""
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
    """For `open(path, "a", opener=opener)`: ValueError for a link, a pipe or a device, which could block or be
    somebody else's file."""
    check_file(Path(path))
    number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ValueError(f"{path} is no file; move it away")
    return number


def share(folder: Path) -> None:
    """Give the files in a new folder the modes that the umask has for new files, as the folder itself has them:
    safetensors writes files that nobody but their owner reads."""
    bits = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for path in folder.iterdir():
        if kind(path) == "a file" and stat.S_IMODE(path.stat().st_mode) != bits:
            path.chmod(bits)
        elif kind(path) == "a folder":
            share(path)


def half_name(folder: Path) -> Path:
    """A hidden name beside `folder` for what is renamed to it when it is whole."""
    return folder.with_name(f".{folder.name[:LONGEST_NAME]}.{uuid.uuid4().hex[:8]}{HALF}")


def plain(text: str) -> str:
    """`text` with nothing but letters, digits, `_`, `-` and dots, and no dot in front, which would hide a file."""
    return re.sub(r"^\.", "_", re.sub(r"[^A-Za-z0-9_.-]+", "_", text))


def file_name(text: str, longest: int = LONGEST_NAME) -> str:
    """A file's name from a text of anybody's: the text itself where it is plain and short, else what can be kept of it
    and a hash of it all."""
    if text == plain(text)[:longest] and text:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain(text)[: longest - len(mark) - 1]}-{mark}"
