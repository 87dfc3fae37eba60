"""Worker processes: they run the same stages and evaluations as the main process, but write and log nothing."""

from typing import Literal

from dsee_bench.plan import Settings
from dsee_bench.system import distributed, signals
from dsee_bench.system.errors import UserError

Task = Literal["run", "rebuild", "rescore"] | None  # what the main process has the workers do


def run(settings: Settings) -> int:
    """Do what the main process announces; return the exit code."""
    signals.listen()
    try:
        task: Task = distributed.from_main_process(lambda: None)
        if task is not None and settings.answers is None:
            _work(settings, task)
    except KeyboardInterrupt:
        return signals.INTERRUPTED
    except UserError:  # the main process meets the same one and prints it
        return 1
    except RuntimeError as error:
        if not distributed.other_ended(error):
            raise
        return signals.INTERRUPTED  # the main process prints why, unless it was killed
    return 0


def _work(settings: Settings, task: Task) -> None:
    from dsee_bench.runs.pipeline import prepare, run_stages
    from dsee_bench.runs.retention import Retention
    from dsee_bench.runs.scoring import answer_splits
    from dsee_bench.tasks.example import CAUSAL

    state, inputs = prepare(settings, settings.work)
    watch = Retention(settings, state) if settings.others and task != "rebuild" else None
    run_stages(settings, state, settings.states, inputs, watch)
    if task == "run" and settings.task.kind not in CAUSAL:  # the main process writes and reads texts alone
        for _ in answer_splits(state, settings.work):
            pass
