"""transformers' checkpoints, sealed when they are whole, from which an interrupted tuning resumes.

A checkpoint is many files, and transformers resumes without a word from one that lacks some of them. So it is sealed
last, and one that differs from its seal is damaged. The seal is no defence against an attacker: torch's files are read
with weights_only here, as transformers reads them afterwards.
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
HOOKS = "hooks.safetensors"  # state_dict of the step hooks
NAMED = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def folder_of(folder: Path, step: int) -> Path:
    """Return the checkpoint of one step, as transformers names it."""
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint from its name; -1 for another name."""
    match = NAMED.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def newest(folder: Path) -> Path | None:
    """Return the latest whole checkpoint under `folder` whose best one is whole, too; remove damaged ones."""
    make_room_for_folder(folder)
    whole = []
    for checkpoint in _all(folder):
        if fault := damage(checkpoint) or _unreadable(checkpoint):
            discard(checkpoint, fault)
        else:
            whole.append(checkpoint)
    for checkpoint in reversed(whole):
        if _has_best(checkpoint):
            return checkpoint
    return None


def keep_only(folder: Path, steps: Iterable[int | None]) -> None:
    """Delete the checkpoints of all other steps."""
    stay = {folder_of(folder, step) for step in steps if step is not None}
    for checkpoint in _all(folder):
        if checkpoint not in stay:
            remove(checkpoint)


def _all(folder: Path) -> list[Path]:
    """Return checkpoints by step, those with other names first."""
    return sorted(folder.glob(f"{PREFIX_CHECKPOINT_DIR}*"), key=step_of)


def _unreadable(checkpoint: Path) -> str:
    """Say what of a sealed checkpoint cannot be read, since another program wrote it; "" for nothing."""
    path = checkpoint / STATE
    try:
        TrainerState.load_from_json(str(path))
        for path in (checkpoint / SAFE_WEIGHTS_NAME, checkpoint / HOOKS):
            with safe_open(path, framework="pt"):
                pass
        with safe_globals():
            for path in sorted(checkpoint.glob("*.pt*")):
                torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except Exception as error:  # a foreign file may make its reader raise anything
        return f"has an unreadable {path.name} ({type(error).__name__})"
    return ""


def _has_best(checkpoint: Path) -> bool:
    """Return whether the best weights of the checkpoint are whole, and correct their path in its state.

    transformers stores an absolute path. Where that is gone, it goes on with the last weights without a word.
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
