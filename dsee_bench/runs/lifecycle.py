"""One attempt at a run: told while it goes on, and recorded however it ends."""

import datetime
import os
import shlex
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dsee_bench import plan, record
from dsee_bench.monitoring import console
from dsee_bench.monitoring.tracking import Tracker
from dsee_bench.plan import Settings
from dsee_bench.record import Record
from dsee_bench.runs.state import last_line
from dsee_bench.stages import forced
from dsee_bench.system import distributed, errors, signals
from dsee_bench.system.errors import UserError
from dsee_bench.system.signals import INTERRUPTED

OTHER_ENDED = "interrupted: another process of the run ended"


def run_and_record(
    settings: Settings, planned: plan.Plan, results_dir: Path, work: Path, overrides: Sequence[str]
) -> int:
    """Run and write the record, also of a run that fails or is stopped; then print what came out."""
    command = shlex.join(["dsee-bench", *overrides])
    with console.logging_to(work / "log.txt", settings.run_id, command, quiet=settings.launch.quiet):
        console.info(plan.as_text(planned))
        tracker = Tracker(settings.launch.tracking, settings.run_id, work)
        errors.forget(work)
        try:
            finished, path = _recorded(settings, results_dir, work, overrides, tracker)
        except UserError as error:
            return _refused(settings, error, work, tracker)
        except OSError as error:
            console.error(f"{settings.run_id}: its record could not be written: {error}")
            console.error("Once it can, the same command writes it; stages whose states are kept are not repeated.")
            return 1
        if finished.status == "finished":
            from dsee_bench.monitoring.run_table import run_table

            console.output(f"{run_table(finished)}\n{settings.source.line()}\nrecord: {path}")
        else:
            _explain(finished, path, work)
        if finished.status == "interrupted":
            console.error("The same command goes on where it was.")
        code = {"finished": 0, "failed": 1, "interrupted": INTERRUPTED}[finished.status]
        signals.resume()
        tracker.finish(finished, code)
        if code == INTERRUPTED:
            signals.defer()  # the process ends now, and one more Ctrl-C would end it with a traceback
    return code


def _explain(finished: Record, path: Path, work: Path) -> None:
    """Say on one line why the run did not end well; the traceback of an error goes to the log file alone."""
    if finished.status == "failed":
        console.debug(finished.error or "")
        last = errors.one_line(last_line(finished))
        console.error(f"{finished.run_id} failed: {last}; the traceback is in {work / 'log.txt'}, the record is {path}")
    else:
        console.error(f"{finished.error}\n{finished.run_id} {finished.status}: {path}")


def _refused(settings: Settings, error: UserError, work: Path, tracker: Tracker) -> int:
    """Say what the user got wrong, without a record; the exit code."""
    console.debug("".join(traceback.format_exception(error)))
    console.error(f"dsee-bench: {error}")
    errors.remember(work, error)
    signals.resume()
    tracker.finish(Record(settings.run_id, "failed", settings.config, {}, error=str(error)), 1)
    return 1


def _recorded(
    settings: Settings, results_dir: Path, work: Path, overrides: Sequence[str], tracker: Tracker
) -> tuple[Record, Path]:
    """What came of the run, and its record's place. It is written unless an earlier run's good one is there, and no
    signal is heard meanwhile."""
    started = time.time()
    before_imports()
    signals.listen()
    try:
        outcome = _outcome(settings, results_dir, work, overrides, tracker)
    except KeyboardInterrupt:
        signals.defer()
        outcome = Record(settings.run_id, "interrupted", settings.config, {}, error="interrupted by a signal")
    finished = replace(outcome, recipe=asdict(settings.source), made_by=_made_by(settings, overrides, started))
    path = record.path_of(settings.run_id, results_dir)
    if finished.status != "finished" and _is_good(path):
        console.info(f"the earlier record of this run is kept: {path}")
    else:
        finished = _written(finished, results_dir)
    if finished.status == "finished":
        forced.end(work)
    return finished, path


def _written(finished: Record, results_dir: Path) -> Record:
    """The record as it was written: a failed run's, where what came out is nothing that JSON holds."""
    try:
        record.write(finished, results_dir)
    except (TypeError, ValueError):
        finished = Record(finished.run_id, "failed", finished.config, finished.made_by, error=traceback.format_exc())
        record.write(finished, results_dir)
    return finished


def _is_good(path: Path) -> bool:
    """Whether there is a record of a run that ended well."""
    try:
        return path.is_file() and record.read(path).status == "finished"
    except ValueError:  # damaged, or of another release
        return False


def _outcome(settings: Settings, results_dir: Path, work: Path, overrides: Sequence[str], tracker: Tracker) -> Record:
    """The record of the run or of its failure, without `made_by`; signals are held from its end on."""
    try:
        from dsee_bench.runs.pipeline import execute

        console.capture_libraries()
        anew = settings.launch.force and forced.read(work) is None
        tracker.start(settings.config, _experiment(overrides), anew=anew)
        return execute(settings, work, results_dir / "work" / "states", tracker)
    except UserError:
        raise
    except Exception as error:
        if distributed.other_ended(error):
            console.debug(traceback.format_exc())
            return Record(settings.run_id, "interrupted", settings.config, {}, error=OTHER_ENDED)
        return Record(settings.run_id, "failed", settings.config, {}, error=traceback.format_exc())
    finally:
        signals.defer()


def _experiment(overrides: Sequence[str]) -> str | None:
    """The name of the chosen experiment file, as the words of the command have it."""
    chosen = [word.partition("=")[2] for word in overrides if word.startswith("experiment=")]
    return chosen[-1] if chosen else None


def to_measure(settings: Settings, found: Record) -> bool:
    """Whether the model of a run that is done is to be timed: where its record has no time, or by measure=again."""
    timed = any(cost.name == "latency_ms" for cost in found.costs)
    return settings.launch.measure == "again" or bool(settings.launch.measure and not timed)


def rebuild_and_record(settings: Settings, results_dir: Path, work: Path, overrides: Sequence[str]) -> int:
    """Export and measure, as asked, a run that is done; what is measured goes into its record, all else there stays."""
    started = time.time()
    found = record.read(record.path_of(settings.run_id, results_dir))
    measure = to_measure(settings, found)
    before_imports()
    signals.listen()
    command = shlex.join(["dsee-bench", *overrides])
    with console.logging_to(work / "log.txt", settings.run_id, command, quiet=settings.launch.quiet):
        try:
            from dsee_bench.runs.pipeline import rebuild

            console.capture_libraries()
            measured = rebuild(settings, found, work, results_dir / "work" / "states", measure=measure)
            signals.defer()
            if measured:
                new = {cost.name for cost in measured}
                costs = (*(cost for cost in found.costs if cost.name not in new), *measured)
                made_by = {**found.made_by, "measured": _made_by(settings, overrides, started)}
                path = record.write(replace(found, costs=costs, made_by=made_by), results_dir)
                told = [f"{cost.name} {cost.value:,.1f}" for cost in measured]
                console.output(f"{settings.run_id}: {', '.join(told)}\nrecord: {path}")
        except KeyboardInterrupt:
            console.error(f"{settings.run_id}: interrupted by a signal; its record stays as it was")
            return INTERRUPTED
        except UserError as error:
            console.debug(traceback.format_exc())
            console.error(f"dsee-bench: {error}; the record of {settings.run_id} stays as it was")
            return 1
        except Exception as error:
            console.debug(traceback.format_exc())
            if distributed.other_ended(error):
                console.error(f"{settings.run_id}: {OTHER_ENDED}; its record stays as it was")
                return INTERRUPTED
            met = errors.one_line(f"{type(error).__name__}: {error}")
            console.error(f"{settings.run_id}: {met}; its record is unchanged; the traceback is in {work / 'log.txt'}")
            return 1
    return 0


def before_imports() -> None:
    """Settings that libraries read when they are imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # transformers warns of names that transformers and PEFT use themselves; a user can do nothing about it.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def _made_by(settings: Settings, overrides: Sequence[str], started: float) -> dict[str, Any]:
    import torch

    from dsee_bench.system.provenance import device_name, made_by

    return {
        **made_by(overrides, device_name(settings.launch.device), torch.get_num_threads()),
        "started": datetime.datetime.fromtimestamp(started, datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 1),
    }
