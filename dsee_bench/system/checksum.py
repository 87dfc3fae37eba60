"""Checksums of files, and whether a file in the hub's cache is what its name there says, which is its checksum."""

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path


def sha256(path: Path) -> str:
    """The checksum of a file's bytes, in hex. A file that has not changed since is not read a second time."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_sha1(path: Path) -> str:
    """The name that git gives to a file's content, in hex: sha1 over "blob", its size in bytes, and its bytes."""
    start = b"blob %d\0" % path.stat().st_size
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(start)).hexdigest()


def stated_checksum(path: Path) -> str | None:
    """The checksum that the cache knows of a file in a snapshot: the name of the blob it links to.

    64 hex digits are the content's sha256, 40 are git's sha1. None where there is no such name: a mirror that tags
    files by something else, or a file system without links.
    """
    if not path.is_symlink():
        return None
    name = path.readlink().name
    return name if re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", name) else None


def verify(path: Path) -> None:
    """ValueError if a cached file is not what its checksum says; a file that has none passes."""
    stated = stated_checksum(path)
    if stated is None:
        return
    found = sha256(path) if len(stated) == 64 else git_sha1(path)
    if found != stated:
        blob = os.path.normpath(path.parent / path.readlink())
        raise ValueError(
            f"{path} is not the hub's file: its checksum should be {stated}, it is {found}. It was damaged on its way "
            f"or on disk; delete {blob} and run this again, which fetches it anew"
        )
