"""The folder of kept states as files: what each is, how large, who holds it, and its removal. No tensor is read."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import Timeout

from dsee_bench.system.locks import held, lock_at, run_lock

TENSORS, MASKS, LOGS, ABOUT = "model.safetensors", "masks.safetensors", "stages.json", "about.json"
TUNING = ".tuning"  # the end of the name of a folder with the points that a stopped tuning goes on from
NAMED = ("task", "backbone", "method")  # whose names say what a state is


@dataclass(frozen=True)
class Kept:
    """One kept state, or what a stopped tuning left to go on from. `about`: names of task, backbone and method, and
    the seed, of the run that made it; empty where it does not say."""

    folder: Path
    stages: tuple[str, ...]  # none: a tuning that did not end
    bytes: int
    used: float  # when it was last made or loaded, in seconds since the epoch
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether a live process makes or replaces it."""
        return held(lock_of(self.folder))


def lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name.removesuffix(TUNING)}.lock")


def about(config: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a state that a run with these settings makes."""
    return {**{group: config[group]["name"] for group in NAMED}, "seed": config["seed"]}


def mark_used(folder: Path) -> None:
    """Remember that the state was loaded now; a folder that may only be read stays as it is."""
    try:
        os.utime(folder / LOGS)
    except PermissionError:
        return


def kept(states: Path) -> list[Kept]:
    """Every whole state and every begun tuning in the folder, the one last used first."""
    found = []
    for folder in [path for path in states.glob("*") if path.is_dir() and not path.name.startswith(".")]:
        with suppress(FileNotFoundError):  # removed, or replaced by a whole one, meanwhile
            if folder.name.endswith(TUNING):
                found.append(Kept(folder, (), size(folder), folder.stat().st_mtime))
            elif (folder / LOGS).exists():
                found.append(_read(folder))
    return sorted(found, key=lambda state: (-state.used, state.folder.name))


def _read(folder: Path) -> Kept:
    """What a state says of itself; what is damaged is left out, so that the state can still be seen and removed."""
    logs = _json(folder / LOGS)
    names = [str(log.get("name")) for log in logs if isinstance(log, dict)] if isinstance(logs, list) else []
    about = _json(folder / ABOUT)
    return Kept(
        folder,
        tuple(names) or ("(unreadable)",),
        size(folder),
        (folder / LOGS).stat().st_mtime,
        about if isinstance(about, dict) else {},
    )


def _json(path: Path) -> object:
    """The content of a small file; None where that is not to be had."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


def size(folder: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def leftovers(states: Path) -> list[Path]:
    """Half-written states and files that processes left when they died: who writes one holds the lock of the state or
    of the run."""
    folders = [path for path in states.glob(".*") if path.is_dir()]
    work, runs = states.parent, states.parents[1] / "runs"
    files = {path: path.parent for path in work.glob("*/.*.tmp")}
    files |= {path: work / path.name[1:].rpartition(".json.")[0] for path in runs.glob(".*.json.*.tmp")}
    return [
        *(path for path in folders if not held(states / f"{path.name.split('.')[1]}.lock")),
        *(path for path, run in sorted(files.items()) if path.is_file() and not held(run_lock(run))),
    ]


def remove(folder: Path) -> bool:
    """Remove one state, or say False because a live process holds it. Another process sees it whole or not at all."""
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
