"""Points in a tuning that a stopped run goes on from: transformers' checkpoints, sealed when they are whole.

A checkpoint is many files, and transformers resumes in silence from one that lacks some of them. So it is sealed last,
and one that is not as its seal says is damaged. The seal is no defence against a stranger: torch's files are read with
weights_only here, as transformers reads them afterwards.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from transformers.trainer_callback import TrainerState
from transformers.trainer_pt_utils import safe_globals
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_NAME

from dsee_bench.system.files import discard, make_room_for_folder, remove
from dsee_bench.system.folders import damage, is_whole, seal

STATE = "trainer_state.json"
HOOKS = "hooks.safetensors"  # what the step hooks keep
NAMED = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def folder_of(folder: Path, step: int) -> Path:
    """The checkpoint of one step, as transformers names it."""
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint, from its name; -1 where that is no checkpoint's."""
    found = NAMED.fullmatch(checkpoint.name)
    return int(found[1]) if found else -1


def newest(folder: Path) -> Path | None:
    """The latest whole checkpoint under `folder`, with its best one if that is another; damaged ones are removed."""
    make_room_for_folder(folder)
    whole = []
    for checkpoint in _all(folder):
        if found := damage(checkpoint) or _unreadable(checkpoint):
            discard(checkpoint, found)
        else:
            whole.append(checkpoint)
    for checkpoint in reversed(whole):
        if _keeps_its_best(checkpoint):
            return checkpoint
    return None


def keep_only(folder: Path, steps: Iterable[int | None]) -> None:
    """Delete the checkpoints of all other steps."""
    kept = {folder_of(folder, step) for step in steps if step is not None}
    for checkpoint in _all(folder):
        if checkpoint not in kept:
            remove(checkpoint)


def _all(folder: Path) -> list[Path]:
    """Checkpoints by step, and first of all those whose names are damaged."""
    found = folder.glob(f"{PREFIX_CHECKPOINT_DIR}*") if folder.is_dir() else []
    return sorted(found, key=step_of)


def _unreadable(checkpoint: Path) -> str:
    """Say what of a checkpoint cannot be read, although its seal fits: another program wrote it. "" where all can."""
    path = checkpoint / STATE
    try:
        TrainerState.load_from_json(str(path))
        for path in (checkpoint / SAFE_WEIGHTS_NAME, checkpoint / HOOKS):
            with safe_open(path, framework="pt"):
                pass
        with safe_globals():
            for path in sorted(checkpoint.glob("*.pt*")):
                torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except Exception as error:  # whatever a foreign file makes its reader raise
        return f"has an unreadable {path.name} ({type(error).__name__})"
    return ""


def _keeps_its_best(checkpoint: Path) -> bool:
    """Point the checkpoint's state at its best weights where they lie now; False if these are gone.

    transformers keeps their path as it was, and where it leads nowhere goes on with the last weights in silence.
    """
    path = checkpoint / STATE
    state = TrainerState.load_from_json(str(path))
    if state.best_model_checkpoint is None:
        return True
    best = checkpoint.parent / Path(state.best_model_checkpoint).name
    if not is_whole(best):
        return False
    if str(best) != state.best_model_checkpoint:
        state.best_model_checkpoint = str(best)
        state.save_to_json(str(path))
        seal(checkpoint)
    return True
