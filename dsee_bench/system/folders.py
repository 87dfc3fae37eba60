"""Folders that are written whole: made under another name, sealed with checksums, and renamed.

A seal names the folder, its files, and a checksum of each. It is no defence against a person who changes it too:
nothing that is read under it is ever unpickled.
"""

import fcntl
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dsee_bench.system.checksum import sha256
from dsee_bench.system.files import LONGEST_NAME, kind, write_atomically

HALF = ".half"  # ends the name of a folder that is being made
SEAL = "whole.json"


def half_name(folder: Path) -> Path:
    """Return a hidden name next to `folder`, for a folder that is renamed to it when it is whole."""
    return folder.with_name(f".{folder.name[:LONGEST_NAME]}.{uuid.uuid4().hex[:8]}{HALF}")


@contextmanager
def half_made(target: Path) -> Iterator[Path]:
    """Yield a new folder next to `target`, to fill and rename; remove it where that fails.

    Folders that killed processes left there are removed first.
    """
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
    """Return half-made folders in `parent` whose names begin with `start` and whose processes are gone."""
    if not parent.is_dir():
        return []
    paths = [path for path in parent.iterdir() if path.name.startswith(start) and path.name.endswith(HALF)]
    return [path for path in sorted(paths) if path.is_dir() and not path.is_symlink() and not _held(path)]


def _held(folder: Path) -> bool:
    """Return whether a live process holds the folder, or may do."""
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


def seal(folder: Path, name: str | None = None) -> None:
    """Flush the files of `folder` to disk and write their names and checksums; `name` is the folder's later name."""
    share(folder)
    for file in _files(folder):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    checksums = {file.name: sha256(file) for file in _files(folder)}
    write_atomically(folder / SEAL, json.dumps({"folder": name or folder.name, "sha256": checksums}))


def is_whole(folder: Path) -> bool:
    """Return whether `folder` was sealed under its name and has the same files with the same content."""
    return not damage(folder)


def damage(folder: Path) -> str:
    """Say what is wrong with a sealed folder; "" for nothing."""
    if folder.is_dir() and not os.path.lexists(folder / SEAL):
        return "was not written to its end"
    try:
        stated = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        if stated["folder"] != folder.name:
            return f"was made as {stated['folder']}"
        files = {file.name: file for file in _files(folder)}
        if odd := sorted(files.keys() ^ stated["sha256"].keys()):
            return f"lacks {odd[0]}" if odd[0] in stated["sha256"] else f"has a foreign file, {odd[0]}"
        for name, file in files.items():
            if not file.is_file() or sha256(file) != stated["sha256"][name]:
                return f"has a changed {name}"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"has a damaged {SEAL}"
    return ""


def _files(folder: Path) -> list[Path]:
    """Return what is in the folder, without the seal and hidden files."""
    return [path for path in sorted(folder.iterdir()) if path.name != SEAL and not path.name.startswith(".")]


def share(folder: Path) -> None:
    """Give the files in a new folder the modes of the umask: safetensors writes files that only their owner reads."""
    bits = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for path in folder.iterdir():
        if kind(path) == "a file" and stat.S_IMODE(path.stat().st_mode) != bits:
            path.chmod(bits)
        elif kind(path) == "a folder":
            share(path)
