"""Files in a folder, by name or by the pattern of their shards, and their content."""

import gzip
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

SHARD = re.compile(r"-(\d+)-of-(\d+)\.")
KEY = "#"  # between a file and the key that its rows stand under: data.json#train
LISTED = 20  # names of a folder that an error shows
KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def find_files(folder: Path, pattern: str, *, several: bool = False) -> tuple[Path, ...]:
    """Return the files under `folder` matching `pattern`, sorted: one, or all shards (`-00000-of-00003`) of one.

    With `several` a pattern may match any number of files that are no shards, and packed ones among them. `FILE#KEY`
    finds FILE.

    FileNotFoundError if there is none, if a pattern matches not all shards, or several files that are not shards.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; {pattern} was to be in it")
    name, mark, key = pattern.partition(KEY)
    if mark and not (folder / pattern).exists():
        return tuple(path.with_name(f"{path.name}{KEY}{key}") for path in find_files(folder, name, several=several))
    plain, packed = (sorted(folder.glob(name)) for name in (pattern, f"{pattern}.gz"))
    beside = [path for path in packed if path.with_suffix("") not in plain]
    paths = tuple(sorted([*plain, *beside]) if several else plain or packed)
    if not paths:
        near = (folder / pattern).parent
        there = sorted(path.name for path in (near if near.is_dir() else folder).iterdir())
        more = f" and {len(there) - LISTED} more" if len(there) > LISTED else ""
        raise FileNotFoundError(
            f"there is no file {folder / pattern}; {near if near.is_dir() else folder} holds {there[:LISTED]}{more}"
        )
    shards = [SHARD.search(path.name) for path in paths]
    wanted = int(shards[0][2]) if shards[0] is not None else len(paths) if several else 1
    if len(paths) != wanted and has_wildcard(pattern):
        raise FileNotFoundError(f"{folder / pattern} should be {wanted} file(s), found {[path.name for path in paths]}")
    for path in paths:
        check_file(path)
    return paths


def has_wildcard(pattern: str) -> bool:
    """Return whether a pattern may match several files."""
    return re.search(r"[*?\[]", pattern) is not None


def check_shards(names: Sequence[str]) -> None:
    """FileNotFoundError if a shard (`-00000-of-00003`) of the files is missing."""
    shards = [found for found in map(SHARD.search, names) if found is not None]
    wanted = sum({found.string[: found.start()]: int(found[2]) for found in shards}.values())
    if len(shards) != wanted:
        raise FileNotFoundError(f"there should be {wanted} files, found {list(names)[:LISTED]}; fetch the others")


def check_file(path: Path) -> Path:
    """Return `path`, if it is a regular file; ValueError for a pipe, which never ends, a device or a folder."""
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"{path} is a {KINDS.get(kind, 'special file')}; give a regular file, with a copy of its rows")
    return path


@contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """Open a file, unpacked if its name ends in .gz; ValueError for one that is no file or is damaged."""
    check_file(path)
    if path.suffix != ".gz":
        with path.open("rb") as stream:
            yield stream
        return
    try:
        with gzip.open(path) as stream:
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}; copy or pack it anew") from error


def read_content(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if its name ends in .gz."""
    with opened(path) as stream:
        return stream.read()
