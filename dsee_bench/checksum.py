"""Checksums of files: plain sha256, and git's own, by which the hub's cache names its small files."""

import hashlib
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
