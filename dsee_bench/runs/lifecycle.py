"""One run from settings to an exit code: skip what is done, lock, run, and record however it ends."""

import datetime
import os
import shlex
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dsee_bench import plan, record
from dsee_bench.config import ConfigError
from dsee_bench.models.load import fetch_missing
from dsee_bench.monitoring import console
from dsee_bench.monitoring.tracking import Tracker
from dsee_bench.plan import Settings, budget
from dsee_bench.plan import text as plan_text
from dsee_bench.record import Record
from dsee_bench.runs import data_check, state, worker
from dsee_bench.runs.asked import asked, to_retain
from dsee_bench.system import distributed, errors, secrets, signals
from dsee_bench.system.errors import UserError
from dsee_bench.system.signals import INTERRUPTED
from dsee_bench.tasks.example import Split

CODES = {"finished": 0, "failed": 1, "interrupted": INTERRUPTED}
UNCHANGED = "its record stays as it was"


def run(resolved: Mapping[str, Any], overrides: Sequence[str] = ()) -> int:
    """Run from a resolved configuration; return 0 if the run is finished, 1 if it failed, 130 if it was interrupted.

    ConfigError for settings that cannot be. Everything else that goes wrong is recorded.
    """
    settings = plan.read(resolved)
    if secrets.starred(settings.run_id) != settings.run_id:
        raise ConfigError(
            f"a secret, or a value of the environment, would stand in the name of the run: {settings.run_id}; write "
            "the names of task, backbone and method out"
        )
    planned = replace(plan.plan(settings), chosen=tuple(budget.words(settings)))
    if settings.launch.plan:
        if distributed.is_main_process():
            console.output(plan_text.as_json(planned) if settings.launch.plan == "json" else plan_text.as_text(planned))
        return 0
    before_imports()
    if distributed.world_size() > 1:
        from dsee_bench.training.evaluate import on_cpu

        distributed.join_group(on_cpu=on_cpu(settings.launch.device))
    if not distributed.is_main_process():
        return worker.run(settings)
    _check_export(settings)
    if _to_do(settings) is None:
        distributed.from_main_process(lambda: None)  # the workers end, too
        return 0
    with state.locked(settings):
        task = _to_do(settings)  # another process may have finished it while this one waited
        distributed.from_main_process(lambda: task)
        if task is None:
            return 0
        command = shlex.join(["dsee-bench", *overrides])
        with console.logging_to(settings.work / "log.txt", settings.run_id, command, quiet=settings.launch.quiet):
            signals.listen()
            return _run(settings, planned, overrides) if task == "run" else _rebuild(settings, overrides)


def _to_do(settings: Settings) -> worker.Task:
    """Decide what to do: "run" (no finished record, or force), "rebuild" (export or timing is asked for), "rescore"
    (the same, through all stages, for scores on other tasks), or None."""
    path = settings.record
    if os.path.lexists(path) and not path.is_file():
        raise ConfigError(f"{path} should be a record and is no file; move it away, and give the same command again")
    if settings.launch.force or not path.is_file():
        return "run"
    try:
        earlier = record.read(path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if earlier.status != "finished":
        return "run"
    if data_check.doubtful(settings.work, settings.launch.data_dir, earlier):
        data_check.check_rows(settings, earlier)
    if to_retain(settings, earlier):
        return "rescore"
    if settings.launch.export is not None or asked(settings.launch, earlier):
        return "rebuild"
    again = "; measure=again times it again" if settings.launch.measure else ""
    console.output(f"{settings.run_id} is done already: {path}\nforce=true runs it again{again}.")
    return None


def _check_export(settings: Settings) -> None:
    """ConfigError before anything is trained if the folder for the export is taken, or ONNX cannot be written."""
    if settings.launch.export is None:
        return
    from dsee_bench.deploy.manifest import check_target
    from dsee_bench.deploy.onnx_file import check_onnx  # which imports torch

    try:
        check_target(settings.launch.export, settings.launch.force, settings.run_id)
        if settings.launch.export_onnx:
            check_onnx(settings.launch.export_quantize)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _run(settings: Settings, planned: plan.Plan, overrides: Sequence[str]) -> int:
    """Run, write the record however the run ends, and print the result."""
    console.info(plan_text.as_text(planned))
    tracker = Tracker(settings.launch.tracking, settings.run_id, settings.work)
    errors.forget(settings.work)
    try:
        outcome = _recorded(settings, overrides, tracker)
    except UserError as error:
        outcome = _refused(settings, error)
        errors.remember(settings.work, error)
    except OSError as error:
        console.error(f"{settings.run_id}: its record could not be written: {error}")
        console.error("Once it can, the same command writes it; stages whose states are cached are not repeated.")
        return 1
    else:
        _report(settings, outcome)
    signals.resume()
    tracker.finish(outcome, CODES[outcome.status])
    if outcome.status == "interrupted":
        signals.defer()  # the process ends now, and one more Ctrl-C would end it with a traceback
    return CODES[outcome.status]


def _report(settings: Settings, outcome: Record) -> None:
    if outcome.status == "finished":
        from dsee_bench.monitoring.run_table import run_table

        console.output(f"{run_table(outcome)}\n{settings.source.line()}\nrecord: {settings.record}")
    else:
        more = ". The same command goes on where it was." if outcome.status == "interrupted" else ""
        _explain(settings, outcome, f"the record is {settings.record}{more}")


def _recorded(settings: Settings, overrides: Sequence[str], tracker: Tracker) -> Record:
    """Run, and write the record. A finished record of before stays where its repeat (force=true) fails."""
    started = time.time()
    before = state.state_of(settings.run_id, settings.results_dir).name
    repeat = settings.launch.force and before in ("finished", "unreadable")

    def work() -> Record:
        experiments = [word.removeprefix("experiment=") for word in overrides if word.startswith("experiment=")]
        tracker.start(settings.config, experiments[-1] if experiments else None, anew=repeat)
        data = None if settings.answers is not None else _inputs(settings)
        from dsee_bench.runs import majority  # torch and transformers take seconds, which no mistake should cost
        from dsee_bench.runs.pipeline import execute

        console.capture_libraries()
        if settings.answers is not None:
            return majority.execute(settings)
        return execute(settings, tracker, overrides, repeat=repeat, data=data)

    outcome = _outcome(settings, work)
    outcome = replace(outcome, recipe=asdict(settings.source), made_by=_made_by(settings, overrides, started))
    if outcome.status == "failed":
        state.put_record_back(settings.record, settings.work)
    if outcome.status != "finished" and state.is_finished(settings.record):
        console.info(f"the earlier record of this run is kept: {settings.record}")
    else:
        outcome = write_outcome(outcome, settings.results_dir)
    if outcome.status == "finished":
        state.earlier(settings.record, settings.work).unlink(missing_ok=True)
    return outcome


def _inputs(settings: Settings) -> dict[str, Split[Any]]:
    """Return the rows, and see that the weights can be had; UserError where a file is missing or cannot be read."""
    with errors.as_mistake():
        data = settings.load_data()
        fetch_missing(settings.backbone)
    return data


def write_outcome(outcome: Record, results_dir: Path) -> Record:
    """Write the record and return it; one of a failed run where JSON cannot hold it."""
    try:
        record.write(outcome, results_dir)
    except (TypeError, ValueError):
        outcome = Record(outcome.run_id, "failed", outcome.config, outcome.made_by, error=traceback.format_exc())
        record.write(outcome, results_dir)
    return outcome


def _outcome(settings: Settings, work: Callable[[], Record]) -> Record:
    """Return the record that `work` makes, or one of its failure; signals are deferred from its end on."""
    try:
        try:
            return work()
        finally:
            signals.defer()
    except UserError:
        raise
    except KeyboardInterrupt:
        signals.defer()
        return Record(settings.run_id, "interrupted", settings.config, {}, error="interrupted by a signal")
    except Exception as error:
        reason = traceback.format_exc()
        if not distributed.other_ended(error):
            return Record(settings.run_id, "failed", settings.config, {}, error=reason)
        console.debug(reason)
        reason = "interrupted: another process of the run ended"
        return Record(settings.run_id, "interrupted", settings.config, {}, error=reason)


def _rebuild(settings: Settings, overrides: Sequence[str]) -> int:
    """Export and time, as asked, the model of a finished run; the times go into its record, all else there stays."""
    started = time.time()
    earlier = record.read(settings.record)

    def work() -> Record:
        from dsee_bench.monitoring import run_table
        from dsee_bench.runs.pipeline import rebuild

        console.capture_libraries()
        rebuilt = rebuild(settings, earlier)
        if rebuilt != earlier:
            signals.defer()
            made_by = {**earlier.made_by, "measured": _made_by(settings, overrides, started)}
            record.write(replace(rebuilt, made_by=made_by), settings.results_dir)
            new = [cost for cost in rebuilt.costs if cost not in earlier.costs]
            values = [f"{cost.name} {'–' if cost.value is None else f'{cost.value:,.4g}'}" for cost in new]
            values += run_table.retained(rebuilt) if rebuilt.retention != earlier.retention else []
            console.output(f"{settings.run_id}: {', '.join(values) or 'measured'}\nrecord: {settings.record}")
        return earlier

    try:
        outcome = _outcome(settings, work)
    except UserError as error:
        _refused(settings, UserError(f"{error}; {UNCHANGED}"))
        return 1
    if outcome.status != "finished":
        _explain(settings, outcome, UNCHANGED)
    return CODES[outcome.status]


def _explain(settings: Settings, outcome: Record, end: str) -> None:
    """Say on one line why the run did not finish; the traceback of an error goes to the log file alone."""
    if outcome.status == "failed":
        console.debug(outcome.error or "")
        last = errors.one_line(state.last_line(outcome))
        console.error(f"{settings.run_id} failed: {last}; the traceback is in {settings.work / 'log.txt'}, {end}")
    else:
        console.error(f"{settings.run_id}: {outcome.error}; {end}")


def _refused(settings: Settings, error: UserError) -> Record:
    """Say what the user got wrong; return a record that is not written."""
    console.debug("".join(traceback.format_exception(error)))
    console.error(f"dsee-bench: {error}")
    return Record(settings.run_id, "failed", settings.config, {}, error=str(error))


def before_imports() -> None:
    """Set what libraries read when they are imported."""
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
