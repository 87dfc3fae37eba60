"""The command `dsee-bench`: plan, build, run the stages, record. Nothing heavy is imported before the settings are
checked, so that help, plans and mistakes answer at once.
"""

import datetime
import importlib
import os
import shlex
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dsee_bench import config, plan, record
from dsee_bench.config import ConfigError
from dsee_bench.follow import logs
from dsee_bench.follow.tracking import Tracker
from dsee_bench.plan import Settings
from dsee_bench.record import Record
from dsee_bench.sweeps import beside
from dsee_bench.sweeps.launching import share_of
from dsee_bench.system import ranks, stopping
from dsee_bench.system.locks import run_lock
from dsee_bench.system.stopping import STOPPED

# First words that are no run; each module has a main(words).
COMMANDS = {"cache": "dsee_bench.sweeps.cache", "fetch": "dsee_bench.sweeps.fetch"}


def main() -> None:
    """Entry point of `dsee-bench`. Hydra's launcher comes in only where a flag asks for it: a plain run is composed
    here, which answers in half the time."""
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        sys.exit(importlib.import_module(COMMANDS[words[0]]).main(words[1:]))
    if {"--help", "-h"} & set(words):
        logs.show(_help())
        return
    overrides = [word for word in words if not word.startswith("-")]
    if len(overrides) < len(words):
        _by_hydra(overrides)
        return
    try:
        composed = config.compose(overrides)
        code = run(OmegaConf.to_container(composed, resolve=True), overrides)  # type: ignore[arg-type]
    except ConfigError as error:
        sys.exit(f"dsee-bench: {error}" if ranks.first() else 1)
    if code == 0:
        ranks.leave()
    sys.exit(code)


def _help() -> str:
    """What conf/config.yaml says of the command, and what the groups offer; Hydra's own way takes twice as long."""
    text = OmegaConf.load(config.CONF / "config.yaml").hydra.help
    lines = [f"{group}: {', '.join(config.options(group))}" for group in config.GROUPS]
    groups = "\n".join(fill(line, 118, initial_indent="  ", subsequent_indent=" " * 8) for line in lines)
    return f"{text.header}\n\n{text.template}".replace("$GROUPS", groups)


def _by_hydra(overrides: Sequence[str]) -> None:
    """--multirun and Hydra's other flags."""
    import hydra

    if overrides:
        try:
            config.check_overrides([word for word in overrides if "=" in word])  # others belong to a flag: --cfg job
        except ConfigError as error:
            sys.exit(f"dsee-bench: {error}")
    if {"--multirun", "-m"} & set(sys.argv[1:]):
        # Hydra notes what it sweeps in a file; it goes with the work files, not into the working directory.
        given = [word.split("=", 1)[1] for word in overrides if word.startswith("results_dir=")]
        work = (Path(given[-1]) if given else config.default_results_dir()) / "work" / "multirun"
        words = [word for word in sys.argv[1:] if word not in ("--multirun", "-m")]  # argparse wants the flag in front
        sys.argv[1:] = ["--multirun", *words, f"hydra.sweep.dir={work}", "hydra/hydra_logging=default"]
    hydra.main(config_path=str(config.CONF), config_name="config", version_base="1.3")(_job)()


def _job(composed: DictConfig) -> None:
    """One run of a sweep, or of a command with flags."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    launched = HydraConfig.get()
    overrides = list(launched.overrides.task)
    resolved: Any = OmegaConf.to_container(composed, resolve=True)
    if launched.mode == RunMode.MULTIRUN:
        share = share_of(launched.launcher)
        resolved["threads"] = share if resolved["threads"] is None else resolved["threads"]
    try:
        code = run(resolved, overrides)
    except ConfigError as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        code = 1
    if code == STOPPED or stopping.asked():
        sys.exit(STOPPED)  # also where the run was done when the signal came: the sweep is not
    if code and launched.mode != RunMode.MULTIRUN:
        sys.exit(code)
    if code:
        raise RuntimeError(f"failed: dsee-bench {' '.join(overrides)}")  # the other runs of the sweep go on


def run(resolved: Mapping[str, Any], overrides: Sequence[str] = ()) -> int:
    """One run from its resolved configuration: 0 done or done before, 1 failed, 130 stopped.

    Raises ConfigError for settings that cannot be. Everything else that goes wrong is recorded.
    """
    settings = plan.read(resolved)
    planned = plan.plan(settings)
    if settings.launch.plan:
        if ranks.first():
            logs.show(plan.as_json(planned) if settings.launch.plan == "json" else plan.as_text(planned))
        return 0
    results_dir = (settings.launch.results_dir or config.default_results_dir()).resolve()
    work = results_dir / "work" / settings.run_id
    if ranks.world() > 1:
        _before_imports()
        beside.meet(settings)
    if not ranks.first():
        return beside.assist(settings, work, results_dir / "work" / "states")
    _check_export(settings)
    if _left(settings, results_dir) is None:
        return beside.ask(None)
    with _alone(settings, results_dir, work):
        left = _left(settings, results_dir)  # another process may have done it while we waited
        beside.ask(left)
        if left == "run":
            return _run_and_record(settings, planned, results_dir, work, overrides)
        return 0 if left is None else _rebuild(settings, results_dir, work, overrides)


@contextmanager
def _alone(settings: Settings, results_dir: Path, work: Path) -> Iterator[None]:
    """No other process works on the run until the end of the block; ConfigError where nothing can be written."""
    from filelock import FileLock, Timeout

    lock = FileLock(run_lock(work))
    try:
        for folder in (work, results_dir / "runs"):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{settings.run_id} is being worked on by another process; waiting for it", file=sys.stderr)
        lock.acquire()
    except OSError as error:
        raise ConfigError(f"nothing can be written to results_dir={results_dir}: {error}; give another") from error
    with lock:
        yield


def _left(settings: Settings, results_dir: Path) -> beside.Task:
    """What is left to do: the run; of one that is done and not to be forced, its model once more, to export or measure
    it; or nothing, and then it says where the record is."""
    path = record.path_of(settings.run_id, results_dir)
    if settings.launch.force or not path.is_file():
        return "run"
    try:
        found = record.read(path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if found.status != "ok":
        return "run"
    if settings.launch.export is not None or _to_measure(settings, found):
        return "rebuild"
    again = "; measure=again times it again" if settings.launch.measure else ""
    logs.show(f"{settings.run_id} is done already: {path}\nforce=true runs it again{again}.")
    return None


def _to_measure(settings: Settings, found: Record) -> bool:
    """Whether the model of a run that is done is to be timed: where its record has no time, or by measure=again."""
    timed = any(cost.name == "latency_ms" for cost in found.costs)
    return settings.launch.measure == "again" or bool(settings.launch.measure and not timed)


def _check_export(settings: Settings) -> None:
    """ConfigError before anything is trained if the folder for the export is taken, or ONNX cannot be written."""
    from dsee_bench.deploy.manifest import check_target
    from dsee_bench.deploy.onnx_file import check_onnx

    if settings.launch.export is not None:
        try:
            check_target(settings.launch.export, settings.launch.force)
            if settings.launch.export_onnx:
                check_onnx(settings.task.kind)
        except ValueError as error:
            raise ConfigError(str(error)) from error


def _rebuild(settings: Settings, results_dir: Path, work: Path, overrides: Sequence[str]) -> int:
    """Export and measure, as asked, a run that is done; what is measured goes into its record, all else there stays."""
    started = time.time()
    found = record.read(record.path_of(settings.run_id, results_dir))
    measure = _to_measure(settings, found)
    _before_imports()
    from dsee_bench.execute import rebuild

    measured = rebuild(settings, work, results_dir / "work" / "states", measure=measure)
    if measure:
        new = {cost.name for cost in measured}
        costs = (*(cost for cost in found.costs if cost.name not in new), *measured)
        made_by = {**found.made_by, "measured": _made_by(settings, overrides, started)}
        written = record.write(replace(found, costs=costs, made_by=made_by), results_dir)
        told = [f"{cost.name} {cost.value:,.1f}" for cost in measured]
        logs.show(f"{settings.run_id}: {', '.join(told)}\nrecord: {written}")
    return 0


def _run_and_record(
    settings: Settings, planned: plan.Plan, results_dir: Path, work: Path, overrides: Sequence[str]
) -> int:
    """Run and write the record, also of a run that fails or is stopped; then tell what came out."""
    command = shlex.join(["dsee-bench", *overrides])
    with logs.followed(work / "log.txt", settings.run_id, command, quiet=settings.launch.quiet):
        logs.tell(plan.as_text(planned))
        tracker = Tracker(settings.launch.tracking, settings.run_id, work)
        try:
            finished, path = _recorded(settings, results_dir, work, overrides, tracker)
        except OSError as error:
            logs.fail(f"{settings.run_id}: its record could not be written: {error}")
            logs.fail("Once it can, the same command writes it; stages whose states are kept are not repeated.")
            return 1
        if finished.status == "ok":
            from dsee_bench.report.run_table import run_table

            logs.show(f"{run_table(finished)}\nrecord: {path}")
        else:
            logs.fail(f"{finished.error}\n{settings.run_id} {finished.status}: {path}")
        if finished.status == "stopped":
            logs.fail("The same command goes on where it was.")
        code = {"ok": 0, "failed": 1, "stopped": STOPPED}[finished.status]
        stopping.let_go()
        tracker.finish(finished, code)
        if code == STOPPED:
            stopping.hold()  # the process ends now, and one more Ctrl-C would end it with a traceback
    return code


def _recorded(
    settings: Settings, results_dir: Path, work: Path, overrides: Sequence[str], tracker: Tracker
) -> tuple[Record, Path]:
    """What came of the run, and its record's place. It is written unless an earlier run's good one is there, and no
    signal is heard meanwhile."""
    started = time.time()
    _before_imports()
    stopping.listen()
    try:
        outcome = _outcome(settings, results_dir, work, overrides, tracker)
    except KeyboardInterrupt:
        stopping.hold()
        outcome = Record(settings.run_id, "stopped", settings.config, {}, error="stopped by a signal")
    finished = replace(outcome, made_by=_made_by(settings, overrides, started))
    path = record.path_of(settings.run_id, results_dir)
    if finished.status != "ok" and path.is_file() and record.read(path).status == "ok":
        logs.tell(f"the earlier record of this run is kept: {path}")
    else:
        record.write(finished, results_dir)
    return finished, path


def _outcome(settings: Settings, results_dir: Path, work: Path, overrides: Sequence[str], tracker: Tracker) -> Record:
    """The record of the run or of its failure, without `made_by`; signals are held from its end on."""
    try:
        from dsee_bench.execute import execute

        logs.take_over()
        tracker.start(settings.config, _experiment(overrides), anew=settings.launch.force)
        return execute(settings, work, results_dir / "work" / "states", tracker)
    except Exception:
        return Record(settings.run_id, "failed", settings.config, {}, error=traceback.format_exc())
    finally:
        stopping.hold()


def _experiment(overrides: Sequence[str]) -> str | None:
    """The name of the chosen experiment file, as the words of the command have it."""
    chosen = [word.partition("=")[2] for word in overrides if word.startswith("experiment=")]
    return chosen[-1] if chosen else None


def _before_imports() -> None:
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


if __name__ == "__main__":
    main()
