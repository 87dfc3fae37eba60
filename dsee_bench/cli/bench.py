"""The command `dsee-bench`: plan, build, run the stages, record. Nothing heavy is imported before the settings are
checked, so that help, plans and mistakes answer at once.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import fill
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dsee_bench import config, plan, record
from dsee_bench.config import ConfigError, flags
from dsee_bench.models import auto
from dsee_bench.monitoring import console
from dsee_bench.plan import Settings
from dsee_bench.runs import data_check, lifecycle, worker
from dsee_bench.runs.launching import share_of
from dsee_bench.system import distributed, files, secrets, shell, signals, terminal
from dsee_bench.system.locks import lock_at, run_lock
from dsee_bench.system.signals import INTERRUPTED

# First words that are no run; each module has a main(words).
COMMANDS = {"cache": "dsee_bench.cli.cache", "fetch": "dsee_bench.cli.fetch"}


@shell.until_the_reader_leaves
def main() -> None:
    """Entry point of `dsee-bench`. Hydra's launcher comes in only where a flag asks for it: a plain run is composed
    here, which answers in half the time."""
    terminal.prepare(sys.argv[1:])
    words = sys.argv[1:] = shell.as_in_a_shell(sys.argv[1:])
    if "--version" in words:
        console.output(terminal.version_text("dsee-bench"))
        return
    if words and words[0] in COMMANDS:
        sys.exit(importlib.import_module(COMMANDS[words[0]]).main(words[1:]))
    if {"--help", "-h"} & set(words):
        console.output(_help())
        return
    try:
        words = flags.take_config_dir(words)
        overrides = [word for word in words if not word.startswith("-")]
        if len(overrides) < len(words):
            _by_hydra(words, overrides)
            return
        if any(config.parse(word).key_or_group.startswith("hydra") for word in overrides):
            flags.check_hydra(overrides)
        code = run(auto.resolve(config.compose(overrides)), overrides)
    except ConfigError as error:
        sys.exit(f"dsee-bench: {error}" if distributed.is_main_process() else 1)
    if code == 0:
        distributed.leave_group()
    sys.exit(code)


def _help() -> str:
    """What conf/config.yaml says of the command, and what the groups offer; Hydra's own way takes twice as long."""
    text = OmegaConf.load(config.CONF / "config.yaml").hydra.help
    lines = [f"{group}: {', '.join(config.options(group))}" for group in config.GROUPS]
    groups = "\n".join(fill(line, 118, initial_indent="  ", subsequent_indent=" " * 8) for line in lines)
    return f"{text.header}\n\n{text.template}".replace("$GROUPS", groups)


def _by_hydra(words: Sequence[str], overrides: Sequence[str]) -> None:
    """Run --multirun or another of Hydra's flags."""
    import hydra

    flags.check_flags(words)
    # Words of other forms belong to a flag: --cfg job.
    settings = [word for word in overrides if "=" in word or word.startswith("~")]
    config.check_overrides(settings)
    flags.check_hydra(settings)
    if {"--multirun", "-m"} & set(words):
        for word in map(config.parse, overrides):
            if word.key_or_group in ("results_dir", "data_dir", "export") and word.is_sweep_override():
                key, _, value = word.input_line.partition("=")
                raise ConfigError(
                    f"{key} takes one folder, a sweep is over settings that change a result; a name with a comma is "
                    f"typed {config.quoted(key, value)}"
                )
        others = [word for word in words if word not in ("--multirun", "-m")]  # argparse wants the flag in front
        words = ["--multirun", *others, "hydra/hydra_logging=default"]
    sys.argv[1:] = [*(f"--config-dir={folder}" for folder in config.FOLDERS[1:]), *words]
    hydra.main(config_path=str(config.CONF), config_name="config", version_base="1.3")(_job)()


def _job(composed: DictConfig) -> None:
    """One run of a sweep, or of a command with flags."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    launched = HydraConfig.get()
    overrides = list(launched.overrides.task)
    terminal.prepare(overrides)  # here too: the process may be a launcher's
    try:
        resolved = auto.resolve(composed)
        if launched.mode == RunMode.MULTIRUN and resolved.get("threads", 0) is None:
            resolved["threads"] = share_of(launched.launcher)
        code = run(resolved, overrides)
    except ConfigError as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        code = 1
    if code == INTERRUPTED or signals.stop_requested():
        sys.exit(INTERRUPTED)  # also where the run was done when the signal came: the sweep is not
    if code and launched.mode != RunMode.MULTIRUN:
        sys.exit(code)
    if code:
        raise RuntimeError(f"failed: dsee-bench {' '.join(overrides)}")  # the other runs of the sweep go on


def run(resolved: Mapping[str, Any], overrides: Sequence[str] = ()) -> int:
    """One run from its resolved configuration: 0 done or done before, 1 failed, 130 stopped.

    Raises ConfigError for settings that cannot be. Everything else that goes wrong is recorded.
    """
    settings = plan.read(resolved)
    if secrets.starred(settings.run_id) != settings.run_id:
        raise ConfigError(
            f"a secret, or a value of the environment, would stand in the name of the run: {settings.run_id}; write "
            "the names of task, backbone and method out"
        )
    planned = plan.plan(settings)
    if settings.launch.plan:
        if distributed.is_main_process():
            console.output(plan.as_json(planned) if settings.launch.plan == "json" else plan.as_text(planned))
        return 0
    results_dir = (settings.launch.results_dir or config.default_results_dir()).resolve()
    work = results_dir / "work" / settings.run_id
    if distributed.world_size() > 1:
        lifecycle.before_imports()
        worker.join(settings)
    if not distributed.is_main_process():
        return worker.run(settings, work, results_dir / "work" / "states")
    _check_export(settings)
    if _left(settings, results_dir) is None:
        return worker.announce(None)
    with _alone(settings, results_dir, work):
        left = _left(settings, results_dir)  # another process may have done it while we waited
        worker.announce(left)
        if left == "run":
            return lifecycle.run_and_record(settings, planned, results_dir, work, overrides)
        return 0 if left is None else lifecycle.rebuild_and_record(settings, results_dir, work, overrides)


@contextmanager
def _alone(settings: Settings, results_dir: Path, work: Path) -> Iterator[None]:
    """No other process works on the run until the end of the block; ConfigError where nothing can be written."""
    from filelock import Timeout

    try:
        files.check_file(record.path_of(settings.run_id, results_dir))
        files.check_folder(results_dir / "work" / "states")
        files.check_own_folder(work)
        for folder in (work, results_dir / "runs"):
            files.check_folder(folder)
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        lock = lock_at(run_lock(work))
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{settings.run_id} is being worked on by another process; waiting for it", file=sys.stderr)
        try:
            lock.acquire()
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(f"nothing can be written to results_dir={results_dir}: {error}; give another") from error
    with lock:
        _clear(results_dir / "runs", f".{settings.run_id}.json.")
        _clear(work, ".")
        yield


def _clear(folder: Path, start: str) -> None:
    """Remove the temporary files that a process of this run left when it was killed; its lock is held now."""
    for path in folder.iterdir():
        if path.name.startswith(start) and path.name.endswith(".tmp"):
            with suppress(OSError):
                path.unlink()


def _left(settings: Settings, results_dir: Path) -> worker.Task:
    """What is left to do: the run; of one that is done and not to be forced, its model once more, to export or measure
    it; or nothing, and then it says where the record is."""
    path = record.path_of(settings.run_id, results_dir)
    work = results_dir / "work" / settings.run_id
    if os.path.lexists(path) and not path.is_file():
        raise ConfigError(f"{path} should be a record and is no file; move it away, and give the same command again")
    if settings.launch.force or not path.is_file():
        return "run"
    try:
        found = record.read(path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if found.status != "finished":
        return "run"
    if data_check.doubtful(work, settings.launch.data_dir, found):
        data_check.check_rows(settings, found, work)
    if settings.launch.export is not None or lifecycle.to_measure(settings, found):
        return "rebuild"
    again = "; measure=again times it again" if settings.launch.measure else ""
    console.output(f"{settings.run_id} is done already: {path}\nforce=true runs it again{again}.")
    return None


def _check_export(settings: Settings) -> None:
    """ConfigError before anything is trained if the folder for the export is taken, or ONNX cannot be written."""
    from dsee_bench.deploy.manifest import check_target
    from dsee_bench.deploy.onnx_file import check_onnx

    if settings.launch.export is not None:
        try:
            check_target(settings.launch.export, settings.launch.force, settings.run_id)
            if settings.launch.export_onnx:
                check_onnx(settings.task.kind)
        except ValueError as error:
            raise ConfigError(str(error)) from error


if __name__ == "__main__":
    main()
