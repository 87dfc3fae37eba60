"""Files in a folder, by name or by the pattern of their shards."""

import re
from pathlib import Path


def find_files(folder: Path, pattern: str) -> tuple[Path, ...]:
    """The files under `folder` matching `pattern`, sorted: one, or all shards (`-00000-of-00003`) of one.

    FileNotFoundError if there is none, if a shard is missing, or if several files match that are not shards.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; {pattern} was to be in it")
    paths = tuple(sorted(folder.glob(pattern)))
    if not paths:
        near = (folder / pattern).parent
        there = sorted(path.name for path in (near if near.is_dir() else folder).iterdir())
        raise FileNotFoundError(
            f"there is no file {folder / pattern}; {near if near.is_dir() else folder} holds {there}"
        )
    shards = [re.search(r"-(\d+)-of-(\d+)\.", path.name) for path in paths]
    wanted = int(shards[0][2]) if shards[0] is not None else 1
    if len(paths) != wanted:
        raise FileNotFoundError(f"{folder / pattern} should be {wanted} file(s), found {[path.name for path in paths]}")
    return paths
