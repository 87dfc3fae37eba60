"""Hydra's own flags and settings on the command line: which ones are allowed.

Hydra imports the code that its settings name (sweeper, launcher, callbacks, log handlers), and one of its flags reads a
pickle; so both are checked first.
"""

import argparse
import re
from collections.abc import Sequence
from typing import Any

from omegaconf import OmegaConf

from dsee_bench import config
from dsee_bench.config import ConfigError
from dsee_bench.config.validate import leaves, shown
from dsee_bench.system.shell import argument_path

FLAGS = (
    *("--multirun", "-m", "--run", "-r", "--cfg", "-c", "--config-dir", "-cd", "--resolve", "--package", "-p"),
    *("--info", "-i", "--hydra-help", "--version"),
)
OWN = ("hydra.", "hydra_plugins.", "logging.", "sys.", "dsee_bench.")
IMPORTED = ("_target_", "class", "()", "factory")  # keys of Hydra's settings and Python's logging whose value is code


def check_flags(words: Sequence[str]) -> None:
    """Raise ConfigError for an unknown flag."""
    for word in words:
        if word.startswith("-") and word.partition("=")[0] not in FLAGS:
            raise ConfigError(f"{shown(word)} is no flag of dsee-bench. There are: {', '.join(FLAGS)}")


def take_config_dir(words: Sequence[str]) -> list[str]:
    """Let options also come from the folder of --config-dir; return the other words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config-dir", type=argument_path, metavar="DIR")
    try:
        found, others = parser.parse_known_args([re.sub("^-cd(?==|$)", "--config-dir", word) for word in words])
    except argparse.ArgumentError as error:
        raise ConfigError(str(error)) from error
    if found.config_dir is not None and not found.config_dir.is_dir():
        raise ConfigError(f"--config-dir={found.config_dir} is no folder; give one with GROUP/OPTION.yaml in it")
    config.FOLDERS[1:] = [] if found.config_dir is None else [found.config_dir.absolute()]
    return others


def check_hydra(words: Sequence[str]) -> None:
    """Raise ConfigError if the words make Hydra import foreign code."""
    overrides = [config.parse(word) for word in words]
    if any(override.key_or_group.startswith("hydra.searchpath") for override in overrides):
        raise ConfigError("hydra.searchpath cannot be set; --config-dir=DIR adds a folder of your own options")
    if not config.FOLDERS[1:] and not any("hydra" in word for word in words):
        return  # Hydra's settings come from our files alone, and composing them takes a tenth of a sweep's start
    single = [word for word, override in zip(words, overrides, strict=True) if not override.is_sweep_override()]
    check_composed(config.compose(single, hydra_too=True).hydra)


def check_composed(hydra: Any) -> None:
    """Raise ConfigError for foreign code in Hydra's composed settings."""
    for place, value in leaves(OmegaConf.to_container(hydra, resolve=False)):
        text = str(value)
        code = place.rpartition(".")[2] in IMPORTED or text.startswith("ext://")
        if code and not text.removeprefix("ext://").startswith(OWN):
            raise ConfigError(
                f"hydra.{place}={shown(value)} must name code of Hydra or dsee_bench; nothing else is imported"
            )
