"""States kept after the stages that are dear to repeat, so that runs which begin alike share their beginning.

A state lies in `<folder>/<key>/` (see kept.py): the model's tensors, the masks, and what the stages before it left.
The key is a hash of all that leads to it. A folder is made under another name and renamed when whole, so a half-written
one is never read; a lock lets one process work while the others wait for its state.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors.torch import load_file, load_model, save_file, save_model

from dsee_bench.config import digest
from dsee_bench.record import StageLog
from dsee_bench.stages.kept import ABOUT, LOGS, MASKS, TENSORS, TUNING, lock_of, mark_used
from dsee_bench.stages.masking import with_kept
from dsee_bench.stages.stage import RunState, Stage
from dsee_bench.system.files import half_name
from dsee_bench.system.seal import is_whole, seal

VERSION = 5  # of the stages' code: raise it when the same settings give another state
NOT_IN_KEY = ("name", "full_rate", "update_rate", "epochs", "retune_epochs")  # of the recipe: stages state theirs
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

    def lock(self, key: str) -> FileLock:
        """Held by the one process that makes this state; the system frees it if the process dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(lock_of(self.folder / key))

    def tuning(self, key: str) -> Path:
        """Where the tuning that makes this state keeps the points that a stopped one goes on from; whichever run makes
        it, under the state's lock."""
        return self.folder / f"{key}{TUNING}"

    def save(self, key: str, state: RunState, logs: Sequence[StageLog], about: Mapping[str, Any]) -> None:
        """Keep the state after the stages of `logs`; `about` tells a person what it is."""
        folder = half_name(self.folder / key)
        folder.mkdir()
        try:
            save_model(state.model, str(folder / TENSORS))
            save_file({site.path: mask.contiguous() for site, mask in state.masks.items()}, folder / MASKS)
            (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            (folder / LOGS).write_text(json.dumps([asdict(log) for log in logs]), encoding="utf-8")
            seal(folder)
            shutil.rmtree(self.folder / key, ignore_errors=True)
            os.rename(folder, self.folder / key)
            shutil.rmtree(self.tuning(key), ignore_errors=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def load(self, key: str, state: RunState, stages: Mapping[str, Stage], built: int) -> list[StageLog]:
        """Bring `state`, which has the modules of the first `built` stages, to the kept one; the logs of its stages."""
        folder = self.folder / key
        mark_used(folder)
        logs = [StageLog(**log) for log in json.loads((folder / LOGS).read_text(encoding="utf-8"))]
        for log in logs[built:]:
            state.stage = log.name
            state.outline = stages[log.name].plan(state.outline)
            stages[log.name].restore(state, log.facts)
        load_model(state.model, folder / TENSORS, device=str(state.model.device))
        masks = load_file(folder / MASKS)
        by_name = {weight.site.path: weight.site for weight in state.outline.weights}
        state.masks = {by_name[name]: mask.to(torch.bool) for name, mask in masks.items()}
        state.outline = with_kept(state.outline, {site: int(mask.sum()) for site, mask in state.masks.items()})
        return [replace(log, facts={**log.facts, "reused": True}) for log in logs]
