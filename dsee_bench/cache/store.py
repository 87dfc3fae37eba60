"""States kept after the stages that are dear to repeat, so that runs which begin alike share their beginning.

A state lies in `<folder>/<key>/` (see listing.py): the model's tensors, the masks, and what the stages before it left.
The key is a hash of all that leads to it. A folder is made under another name and renamed when whole, so a half-written
one is never read, and its checksums are compared before it is used; a lock lets one process work while the others wait
for its state.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import load_file, load_model, save_file, save_model

from dsee_bench.cache.listing import ABOUT, LOGS, MASKS, TENSORS, TUNING, lock_of, mark_used
from dsee_bench.config import digest
from dsee_bench.pruning.masking import with_nnz
from dsee_bench.record import StageLog
from dsee_bench.stages.stage import RunState, Stage
from dsee_bench.system.damaged import discard, remove
from dsee_bench.system.locks import lock_at
from dsee_bench.system.seal import damage, is_whole, seal
from dsee_bench.system.staging import half_made

VERSION = 5  # of the stages' code: raise it when the same settings give another state
NOT_IN_KEY = (
    "name",
    "lr_full",
    "lr_adapter",
    "lr_retune",
    "epochs",
    "retune_epochs",
)  # of the recipe: stages state theirs
WRITES_ONLY = "decode"  # of a task: how the finished model is made to write


def keys(config: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """The key after each stage; `inputs`: checksums of weights and data."""
    recipe = {name: value for name, value in config["train"].items() if name not in NOT_IN_KEY}
    inputs = {**inputs, "init_from": config.get("init_from")}
    task = {name: value for name, value in config["task"].items() if name != WRITES_ONLY}
    before = digest([VERSION, config["seed"], config["backbone"], task, recipe, inputs])
    found = []
    for name, stage in config["method"]["stages"].items():
        before = digest([before, name, stage])
        found.append(before)
    return found


class Store:
    """The folder of kept states."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key: str) -> bool:
        return is_whole(self.folder / key)

    def has_under_lock(self, key: str) -> bool:
        """As `has`, and a damaged state is removed; for the process that holds its lock."""
        folder = self.folder / key
        if not os.path.lexists(folder):
            return False
        found = damage(folder)
        if found:
            discard(folder, found)
        return not found

    def lock(self, key: str) -> FileLock:
        """Held by the one process that makes this state; the system frees it if the process dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return lock_at(lock_of(self.folder / key))

    def tuning(self, key: str) -> Path:
        """Where the tuning that makes this state keeps the points that a stopped one goes on from; whichever run makes
        it, under the state's lock."""
        return self.folder / f"{key}{TUNING}"

    def save(self, key: str, state: RunState, logs: Sequence[StageLog], about: Mapping[str, Any]) -> None:
        """Keep the state after the stages of `logs`; `about` tells a person what it is."""
        with half_made(self.folder / key) as folder:
            save_model(state.model, str(folder / TENSORS))
            save_file({site.path: mask.contiguous() for site, mask in state.masks.items()}, folder / MASKS)
            (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            (folder / LOGS).write_text(json.dumps([asdict(log) for log in logs]), encoding="utf-8")
            seal(folder, key)
            remove(self.folder / key)
            os.rename(folder, self.folder / key)
        remove(self.tuning(key))

    def load(self, key: str, state: RunState, stages: Mapping[str, Stage], built: int) -> list[StageLog]:
        """Bring `state`, which has the modules of the first `built` stages, to the kept one; the logs of its stages.
        ValueError where it cannot be loaded although it is whole."""
        folder = self.folder / key
        mark_used(folder)
        try:
            return self._load(folder, state, stages, built)
        except Exception as error:
            raise ValueError(
                f"the cached state {folder} cannot be loaded: {error}; delete it, and the same command makes it anew"
            ) from error

    def _load(self, folder: Path, state: RunState, stages: Mapping[str, Stage], built: int) -> list[StageLog]:
        logs = [StageLog(**log) for log in json.loads((folder / LOGS).read_text(encoding="utf-8"))]
        for log in logs[built:]:
            state.stage = log.name
            state.spec = stages[log.name].plan(state.spec)
            stages[log.name].restore(state, log.facts)
        load_model(state.model, folder / TENSORS, device=str(state.model.device))
        masks = load_file(folder / MASKS)
        by_name = {weight.site.path: weight.site for weight in state.spec.weights}
        state.masks = {by_name[name]: mask.to(torch.bool) for name, mask in masks.items()}
        state.spec = with_nnz(state.spec, {site: int(mask.sum()) for site, mask in state.masks.items()})
        return [replace(log, facts={**log.facts, "reused": True}) for log in logs]
