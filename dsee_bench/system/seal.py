"""A folder of many files that is read only when all of it is there."""

import json
import os
from pathlib import Path

from dsee_bench.system.files import share, write_atomically

SEAL = "whole.json"


def seal(folder: Path) -> None:
    """Flush the files of `folder` to disk, then write down which there are and how long they are."""
    share(folder)
    sizes = {}
    for path in sorted(folder.iterdir()):
        if path.name == SEAL:
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[path.name] = path.stat().st_size
    write_atomically(folder / SEAL, json.dumps(sizes))


def is_whole(folder: Path) -> bool:
    """Whether `folder` was sealed, and every file is there and as long as it was."""
    try:
        sizes = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False
