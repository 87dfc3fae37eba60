"""The folder of cached states as files: name, size, use and removal of each state. No tensor is read."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from filelock import Timeout

from dsee_bench.system.locks import held, lock_at, run_lock

TENSORS, MASKS, LOGS, ABOUT = "model.safetensors", "masks.safetensors", "stages.json", "about.json"
TUNING = ".tuning"  # ends the name of a folder with the checkpoints of a tuning that has not ended
T = TypeVar("T", list[Any], dict[str, Any])
NAMED = ("task", "backbone", "method")  # groups of settings whose names describe a state


@dataclass(frozen=True)
class CachedState:
    """One cached state, or the checkpoints of a tuning that has not ended.

    `about` has the names of task, backbone and method, and the seed, of the run that made it; empty if unknown.
    """

    folder: Path
    stages: tuple[str, ...]  # none for a tuning that has not ended
    bytes: int
    used: float  # when it was last made or loaded, in seconds since the epoch
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Return whether a live process makes or replaces it."""
        return held(lock_of(self.folder))


def lock_of(folder: Path) -> Path:
    """Return the lock file of a state and of the tuning that makes it."""
    return folder.with_name(f"{folder.name.removesuffix(TUNING)}.lock")


def about(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a state that a run with these settings makes."""
    return {**{group: config[group]["name"] for group in NAMED}, "seed": config["seed"]}


def mark_used(folder: Path) -> None:
    """Note that the state was loaded now; nothing happens in a read-only folder."""
    try:
        os.utime(folder / LOGS)
    except PermissionError:
        return


def cached(states: Path) -> list[CachedState]:
    """Return every whole state and every begun tuning in the folder, the last used first."""
    result = []
    for folder in [path for path in states.glob("*") if path.is_dir() and not path.name.startswith(".")]:
        with suppress(FileNotFoundError):  # removed, or replaced by a whole one, meanwhile
            if folder.name.endswith(TUNING):
                result.append(CachedState(folder, (), size(folder), folder.stat().st_mtime))
            elif (folder / LOGS).exists():
                result.append(_read(folder))
    return sorted(result, key=lambda state: (-state.used, state.folder.name))


def _read(folder: Path) -> CachedState:
    """Return the description of a state; damaged parts are left out, so that it can still be listed and removed."""
    names = tuple(str(log.get("name")) for log in _json(folder / LOGS, list) if isinstance(log, dict))
    used = (folder / LOGS).stat().st_mtime
    return CachedState(folder, names or ("(unreadable)",), size(folder), used, _json(folder / ABOUT, dict))


def _json(path: Path, kind: type[T]) -> T:
    """Return the content of a small JSON file; an empty one of the same kind if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    return content if isinstance(content, kind) else kind()


def size(folder: Path) -> int:
    """Return the bytes of a file, or of the files in a folder."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def leftovers(states: Path) -> list[Path]:
    """Return half-written states and files of killed processes; a live writer holds the lock of the state or run."""
    folders = [path for path in states.glob(".*") if path.is_dir()]
    work, runs = states.parent, states.parents[1] / "runs"
    files = {path: path.parent for path in work.glob("*/.*.tmp")}
    files |= {path: work / path.name[1:].rpartition(".json.")[0] for path in runs.glob(".*.json.*.tmp")}
    return [
        *(path for path in folders if not held(states / f"{path.name.split('.')[1]}.lock")),
        *(path for path, run in sorted(files.items()) if path.is_file() and not held(run_lock(run))),
    ]


def remove(folder: Path) -> bool:
    """Remove one state; return False where a live process holds it. Other processes see it whole or not at all."""
    lock = lock_at(lock_of(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    with lock:
        if not folder.is_dir():  # another process removed it meanwhile
            return True
        gone = folder.with_name(f".{folder.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(folder, gone)
        shutil.rmtree(gone)
        lock_of(folder).unlink()  # whoever waits for it opens a new one
    return True
