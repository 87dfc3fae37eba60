"""Points in a tuning that a stopped run goes on from: transformers' checkpoints, sealed when they are whole.

A checkpoint is many files, and transformers resumes in silence from one that lacks some of them. So it is sealed last,
and one without a seal that fits is broken, whatever stopped its writing.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from dsee_bench.system.seal import is_whole, seal

STATE = "trainer_state.json"


def folder_of(folder: Path, step: int) -> Path:
    """The checkpoint of one step, as transformers names it."""
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def newest(folder: Path) -> Path | None:
    """The latest whole checkpoint under `folder`, with its best one if that is another; broken ones are deleted."""
    whole = []
    for checkpoint in _all(folder):
        if is_whole(checkpoint):
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    for checkpoint in reversed(whole):
        if _keeps_its_best(checkpoint):
            return checkpoint
    return None


def keep_only(folder: Path, steps: Iterable[int | None]) -> None:
    """Delete the checkpoints of all other steps."""
    kept = {folder_of(folder, step) for step in steps if step is not None}
    for checkpoint in _all(folder):
        if checkpoint not in kept:
            shutil.rmtree(checkpoint)


def _all(folder: Path) -> list[Path]:
    """Checkpoints by step."""
    found = folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    return sorted(found, key=step_of)


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
