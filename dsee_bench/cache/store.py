"""Cached states: models after the stages that are expensive to repeat, for all runs that begin alike.

A state lies in `<folder>/<key>/` (see listing.py): the model's tensors, the masks, and the logs of the stages before
it. The key is a hash of all that leads to it. A folder is made under another name and renamed when whole, so that a
half-written one is never read, and its checksums are compared before it is used.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, load_model, save_file, save_model

from dsee_bench.cache import listing
from dsee_bench.cache.listing import ABOUT, LOGS, MASKS, TENSORS, TUNING
from dsee_bench.config import digest
from dsee_bench.pruning.masking import with_nnz
from dsee_bench.record import StageLog
from dsee_bench.stages.stage import RunState, Stage
from dsee_bench.system import distributed
from dsee_bench.system.files import discard, remove
from dsee_bench.system.folders import damage, half_made, is_whole, seal
from dsee_bench.system.locks import lock_at

VERSION = 5  # of the stages' code: raise it when the same settings give another state
# Settings of the recipe that the stages have in their own fields.
NOT_IN_KEY = ("name", "lr_full", "lr_adapter", "lr_retune", "epochs", "retune_epochs")
WRITES_ONLY = "decode"  # of a task: how the finished model generates text


def keys(config: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    """Return the key after each stage; `inputs` are checksums of weights and data."""
    recipe = {name: value for name, value in config["train"].items() if name not in NOT_IN_KEY}
    inputs = {**inputs, "init_from": config.get("init_from")}
    task = {name: value for name, value in config["task"].items() if name != WRITES_ONLY}
    key = digest([VERSION, config["seed"], config["backbone"], task, recipe, inputs])
    stages = config["method"]["stages"].items()
    return [key := digest([key, name, stage]) for name, stage in stages]


class Cache:
    """The folder of cached states, for runs of the method `stages`; `about` tells a person what its states are."""

    def __init__(self, folder: Path, stages: Mapping[str, Stage], about: Mapping[str, Any]) -> None:
        self._folder, self._stages, self._about = folder, stages, about

    def restore_latest(self, keys: Sequence[str], state: RunState) -> list[StageLog]:
        """Bring a model without stages to the last whole state of `keys`; return its logs, none where there is none."""
        key = distributed.from_main_process(lambda: next(filter(self._has, reversed(keys)), None))
        return [] if key is None else self._load(key, state, after=0)

    def get_or_make(
        self, key: str, state: RunState, logs: Sequence[StageLog], make: Callable[[Path], StageLog]
    ) -> list[StageLog]:
        """Bring `state`, which is after the stages of `logs`, to the cached one; return its logs.

        Where none is cached, `make` runs the last stage, with checkpoints in the folder that it is given, and the
        state is cached. A lock lets one run make it while others wait, and is freed if the process dies. The main
        process decides for all ranks.
        """
        with self._lock(key):
            if distributed.from_main_process(partial(self._has_whole, key)):
                return self._load(key, state, after=len(logs))
            made = [*logs, make(self._tuning(key))]
            distributed.barrier()  # all ranks have read the best weights, so the checkpoints may go
            if distributed.is_main_process():
                self.save(key, state, made)
        return made

    def save(self, key: str, state: RunState, logs: Sequence[StageLog]) -> None:
        """Cache the state after the stages of `logs`."""
        with half_made(self._folder / key) as folder:
            save_model(state.model, str(folder / TENSORS))
            save_file({site.path: mask.contiguous() for site, mask in state.masks.items()}, folder / MASKS)
            (folder / ABOUT).write_text(json.dumps(self._about), encoding="utf-8")
            (folder / LOGS).write_text(json.dumps([asdict(log) for log in logs]), encoding="utf-8")
            seal(folder, key)
            remove(self._folder / key)
            os.rename(folder, self._folder / key)
        remove(self._tuning(key))

    def drop(self, keys: Sequence[str]) -> None:
        """Remove these states and the checkpoints of begun ones, but for those that another process makes right now."""
        for key in keys:
            for folder in (self._folder / key, self._tuning(key)):
                if folder.is_dir():
                    listing.remove(folder)

    def _has(self, key: str) -> bool:
        return is_whole(self._folder / key)

    def _has_whole(self, key: str) -> bool:
        """Return whether the state is there, and remove a damaged one; for the process that holds its lock."""
        folder = self._folder / key
        if not os.path.lexists(folder):
            return False
        if fault := damage(folder):
            discard(folder, fault)
        return not fault

    def _lock(self, key: str) -> AbstractContextManager[Any]:
        if not distributed.is_main_process():
            return nullcontext()
        self._folder.mkdir(parents=True, exist_ok=True)
        return lock_at(listing.lock_of(self._folder / key))

    def _tuning(self, key: str) -> Path:
        """Return the folder of checkpoints of the tuning that makes this state, whichever run it is part of."""
        return self._folder / f"{key}{TUNING}"

    def _load(self, key: str, state: RunState, after: int) -> list[StageLog]:
        """Bring `state`, which has the modules of the first `after` stages, to the cached one; return its logs."""
        folder = self._folder / key
        listing.mark_used(folder)
        try:
            logs = [StageLog(**log) for log in json.loads((folder / LOGS).read_text(encoding="utf-8"))]
            self._rebuild(state, logs[after:])
            _read_tensors(folder, state)
        except Exception as error:
            raise ValueError(
                f"the cached state {folder} cannot be loaded: {error}; delete it, and the same command makes it again"
            ) from error
        return [replace(log, facts={**log.facts, "reused": True}) for log in logs]

    def _rebuild(self, state: RunState, logs: Sequence[StageLog]) -> None:
        for log in logs:
            state.stage = log.name
            state.spec = self._stages[log.name].plan(state.spec)
            self._stages[log.name].restore(state, log.facts)


def _read_tensors(folder: Path, state: RunState) -> None:
    load_model(state.model, folder / TENSORS, device=str(state.model.device))
    sites = {weight.site.path: weight.site for weight in state.spec.weights}
    state.masks = {sites[path]: mask.to(torch.bool) for path, mask in load_file(folder / MASKS).items()}
    state.spec = with_nnz(state.spec, {site: int(mask.sum()) for site, mask in state.masks.items()})
