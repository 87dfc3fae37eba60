"""What of Hydra's own may be set on the command line: some flags, and settings that name no foreign code.

Hydra imports what its settings name (sweeper, launcher, callbacks, log handlers), and one of its flags reads a pickle.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dsee_bench import config
from dsee_bench.config import ConfigError
from dsee_bench.config.validate import leaves, shown

FLAGS = (
    "--multirun",
    "-m",
    "--run",
    "-r",
    "--cfg",
    "-c",
    "--config-dir",
    "-cd",
    "--resolve",
    "--package",
    "-p",
    "--info",
    "-i",
    "--hydra-help",
    "--version",
)
OWN = ("hydra.", "hydra_plugins.", "logging.", "sys.", "dsee_bench.")
IMPORTED = (
    "_target_",
    "class",
    "()",
    "factory",
)  # keys of Hydra's settings and of Python's logging whose value is code


def check_flags(words: Sequence[str]) -> None:
    """ConfigError for a flag that is not there."""
    for word in words:
        if word.startswith("-") and word.partition("=")[0] not in FLAGS:
            raise ConfigError(f"{shown(word)} is no flag of dsee-bench. There are: {', '.join(FLAGS)}")


def config_dir(words: Sequence[str]) -> str | None:
    """The folder of Hydra's --config-dir, whose files join those of conf/."""
    for before, word in zip(["", *words], words, strict=False):
        if before in ("--config-dir", "-cd"):
            return word
        if word.startswith("--config-dir="):
            return word.partition("=")[2]
    return None


def check_hydra(words: Sequence[str], folder: str | None = None) -> None:
    """ConfigError where the words make Hydra import something that is neither its own nor ours."""
    overrides = [config.parse(word) for word in words]
    if any(override.key_or_group.startswith("hydra.searchpath") for override in overrides):
        raise ConfigError("hydra.searchpath cannot be set: the files that dsee-bench reads are its own, in conf/")
    single = [word for word, override in zip(words, overrides, strict=True) if not override.is_sweep_override()]
    if folder is not None:
        single.append(f"hydra.searchpath=['{Path(folder).absolute().as_uri()}']")
    check_composed(config.compose(single, hydra_too=True).hydra)


def check_composed(hydra: Any) -> None:
    """ConfigError for foreign code in Hydra's composed settings."""
    for place, value in leaves(OmegaConf.to_container(hydra, resolve=False)):
        text = str(value)
        code = place.rpartition(".")[2] in IMPORTED or text.startswith("ext://")
        if code and not text.removeprefix("ext://").startswith(OWN):
            raise ConfigError(
                f"hydra.{place}={shown(value)} must name code of Hydra or dsee_bench; nothing else is imported"
            )
