"""The processes beside the first in a run of several: they tune and answer along with it, and write and say nothing."""

from pathlib import Path
from typing import Literal

from dsee_bench.plan import Settings
from dsee_bench.system import distributed, signals
from dsee_bench.system.errors import UserError

# What the first process asks of the others: all of the run, or its model once more; None: there is nothing to do.
Task = Literal["run", "rebuild"] | None


def join(settings: Settings) -> None:
    """With the other processes of this run, which torchrun or `accelerate launch` started."""
    from dsee_bench.training.evaluate import on_cpu

    distributed.join_group(on_cpu=on_cpu(settings.launch.device))


def announce(what: Task) -> int:
    """Tell the others what there is to do; the exit code where that is nothing."""
    distributed.from_main_process(lambda: what)
    return 0


def run(settings: Settings, work: Path, states: Path) -> int:
    """Do what the first process asks for; the exit code."""
    signals.listen()
    try:
        asked: Task = distributed.from_main_process(lambda: None)
        if asked is not None:
            _follow(settings, work, states, score=asked == "run")
    except KeyboardInterrupt:
        return signals.INTERRUPTED
    except UserError:  # the first process reads the same and says it
        return 1
    except RuntimeError as error:
        if not distributed.other_ended(error):
            raise
        return signals.INTERRUPTED  # where it was the first process, it has said why, or was killed
    return 0


def _follow(settings: Settings, work: Path, states: Path, *, score: bool) -> None:
    from dsee_bench.runs.pipeline import answered, prepare, run_stages

    state, inputs = prepare(settings, work)
    run_stages(settings, state, work, states, inputs)
    if score and settings.task.kind != "generation":  # texts are written by the first process alone
        for _ in answered(state, work):
            pass
