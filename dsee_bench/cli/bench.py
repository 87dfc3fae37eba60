"""The command `dsee-bench`: plan or run an experiment, or a sweep of them.

Nothing heavy is imported before the settings are checked, so help, plans and mistakes answer at once.
"""

import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dsee_bench import config
from dsee_bench.cli import options
from dsee_bench.config import ConfigError, flags, shorthand
from dsee_bench.monitoring import console
from dsee_bench.system import distributed, shell, signals, terminal
from dsee_bench.system.signals import INTERRUPTED

# Subcommands; each module has a main(words).
COMMANDS = {name: f"dsee_bench.cli.{name}" for name in ("atlas", "cache", "fetch", "predict", "push")}


@shell.until_the_reader_leaves
def main() -> None:
    """Entry point of `dsee-bench`.

    Hydra's own main comes in only where a flag asks for it: a plain run is composed here, in half the time.
    """
    terminal.prepare(sys.argv[1:])
    words = sys.argv[1:] = shell.as_in_a_shell(sys.argv[1:])
    if words[:1] == ["plan"]:
        words = sys.argv[1:] = [*words[1:], "plan=true"]
    if "--version" in words:
        console.output(terminal.version_text("dsee-bench"))
        return
    if words and words[0] in COMMANDS:
        sys.exit(importlib.import_module(COMMANDS[words[0]]).main(words[1:]))
    if words and words[0] in options.GROUPS:
        sys.exit(options.main(words))
    if {"--help", "-h"} & set(words):
        console.output(_help())
        return
    try:
        words = shorthand.spelled_out(flags.take_config_dir(words))
        overrides = [word for word in words if not word.startswith("-")]
        if len(overrides) < len(words):
            _by_hydra(words, overrides)
            return
        if any(config.parse(word).key_or_group.startswith("hydra") for word in overrides):
            flags.check_hydra(overrides)
        code = run(_resolved(config.compose(overrides)), overrides)
    except ConfigError as error:
        sys.exit(f"dsee-bench: {error}" if distributed.is_main_process() else 1)
    if code == 0:
        distributed.leave_group()
    sys.exit(code)


def run(resolved: Mapping[str, Any], overrides: Sequence[str] = ()) -> int:
    """Do what `lifecycle.run` does; it is imported here, so that help and a misspelt name answer without it."""
    from dsee_bench.runs import lifecycle

    return lifecycle.run(resolved, overrides)


def _resolved(composed: DictConfig) -> dict[str, Any]:
    from dsee_bench.plan import budget

    return budget.resolve(composed)


def _help() -> str:
    """Return the help in conf/config.yaml with the options of each group; Hydra's own help takes twice as long."""
    text = OmegaConf.load(config.CONF / "config.yaml").hydra.help
    lines = [f"{group}: {', '.join(config.options(group))}" for group in config.GROUPS]
    groups = "\n".join(fill(line, 118, initial_indent="  ", subsequent_indent=" " * 8) for line in lines)
    return f"{text.header}\n\n{text.template}".replace("$GROUPS", groups)


def _by_hydra(words: Sequence[str], overrides: Sequence[str]) -> None:
    """Run --multirun or another of Hydra's flags."""
    import hydra

    flags.check_flags(words)
    # A word of another form belongs to a flag: --cfg job.
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
    """Run one cell of a sweep, or a command with one of Hydra's flags."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    launched = HydraConfig.get()
    overrides = list(launched.overrides.task)
    terminal.prepare(overrides)  # here too: the process may be a launcher's
    if "SLURM_JOB_ID" in os.environ:
        with signals.held_back(signal.SIGUSR1, signal.SIGUSR2):  # submitit's, of a time limit; its handler exits
            importlib.import_module("torch")
    try:
        resolved = _resolved(composed)
        if launched.mode == RunMode.MULTIRUN and resolved.get("threads", 0) is None:
            from dsee_bench.runs.launching import threads_per_run

            resolved["threads"] = threads_per_run(launched.launcher)
        code = run(resolved, overrides)
    except ConfigError as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        code = 1
    if code == INTERRUPTED or signals.stop_requested():
        sys.exit(INTERRUPTED)  # also if the run had finished when the signal came: the sweep has not
    if code and launched.mode != RunMode.MULTIRUN:
        sys.exit(code)
    if code:
        raise RuntimeError(f"failed: dsee-bench {' '.join(overrides)}")  # the other runs of the sweep go on


if __name__ == "__main__":
    main()
