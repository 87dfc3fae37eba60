"""The runs of a sweep without running them: what Hydra's basic sweeper would make of the same words.

Composing a configuration costs a tenth of a second, a thousand of them two minutes. So each option of a group is
composed once and put together for every cell, and single settings are set on that, as Hydra itself does in the end.
"""

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench import config, plan
from dsee_bench.config import ConfigError
from dsee_bench.config.flags import check_composed
from dsee_bench.runs import data_check
from dsee_bench.runs.state import state_of

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    overrides: tuple[str, ...]  # as `dsee-bench` takes them
    run_id: str


def expand(words: Sequence[str]) -> list[Cell]:
    """Every run of `dsee-bench --multirun <words>`, in Hydra's order; ConfigError for what it does not know.

    The experiment's own sweep comes first, and the words override it.
    """
    return product(*given(words))


def given(words: Sequence[str]) -> tuple[list[str], Mapping[str, Any]]:
    """The words that choose runs, checked, and the sweep of the experiment that they name (hydra.sweeper.params)."""
    config.check_overrides(words)
    parsed = [config.parse(word) for word in words]
    single = [override.input_line for override in parsed if not override.is_sweep_override()]
    hydra = config.compose(single, hydra_too=True).hydra
    check_composed(hydra)
    params = hydra.sweeper.params or {}
    return [word for word in words if not config.parse(word).is_hydra_override()], params


def product(words: Sequence[str], params: Mapping[str, Any]) -> list[Cell]:
    """Every combination of the swept values of `params`, an experiment's sweep, and of the words."""
    cells, mistakes = runnable(words, params)
    if mistakes:
        raise mistakes[0]
    return cells


def runnable(words: Sequence[str], params: Mapping[str, Any]) -> tuple[list[Cell], list[ConfigError]]:
    """The cells of a sweep that can run, and what is wrong with each of the others.

    A name that is not there is raised at once: the words are wrong, whatever the cell.
    """
    cells, mistakes = [], []
    checked: dict[tuple[str, ...], Mapping[str, Any]] = {}  # cells that differ in the seed alone are checked once
    for overrides in _combinations(words, params):
        seeds = [int(word.partition("=")[2]) for word in overrides if _is_seed(word)]
        others = tuple(word for word in overrides if not _is_seed(word))
        if seeds and others in checked:
            cells.append(Cell(overrides, config.run_id({**checked[others], "seed": seeds[-1]})))
            continue
        composition = _named(overrides)
        try:
            settings = config.resolve(composition)
            cells.append(Cell(overrides, plan.read(settings).run_id))
        except ConfigError as error:
            mistakes.append(_in_cell(overrides, error))
            continue
        if "${seed}" not in str(composition):
            checked[others] = settings
    return cells, mistakes


def _is_seed(word: str) -> bool:
    """Whether the word sets the seed to a number that is one."""
    name, _, value = word.partition("=")
    return name == "seed" and value.isascii() and value.isdigit() and len(value) < 10


def _combinations(words: Sequence[str], params: Mapping[str, Any]) -> list[tuple[str, ...]]:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper  # what --multirun uses; its split is static

    parsed = [config.parse(word) for word in (*(f"{key}={value}" for key, value in params.items()), *words)]
    (batch,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [tuple(overrides) for overrides in batch]


def _named(overrides: tuple[str, ...]) -> "DictConfig":
    try:
        return composed(overrides)
    except ConfigError as error:
        raise _in_cell(overrides, error) from error


def _in_cell(overrides: Sequence[str], error: ConfigError) -> ConfigError:
    return ConfigError(f"in the cell {' '.join(overrides)}: {error}")


def unfinished(cells: Sequence[Cell], results_dir: Path, data_dir: Path | None = None) -> list[Cell]:
    """The cells that left no record of a run that ended well, or whose data may have changed since: these look
    themselves whether their rows are the same. A record from elsewhere is doubted only beside a `data_dir`."""
    return [cell for cell in cells if _is_left(cell, results_dir, data_dir)]


def _is_left(cell: Cell, results_dir: Path, data_dir: Path | None) -> bool:
    found = state_of(cell.run_id, results_dir).record
    if found is None or found.status != "finished":
        return True
    work = results_dir / "work" / cell.run_id
    known = data_dir is not None or (work / data_check.NAME).exists()
    return known and data_check.doubtful(work, data_dir, found)


def resolved(overrides: Sequence[str]) -> dict[str, Any]:
    """What `config.compose(overrides)` resolves to."""
    return config.resolve(composed(overrides))


def composed(overrides: Sequence[str]) -> "DictConfig":
    """What `config.compose(overrides)` gives, from parts that are composed once for many cells."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    found = copy.deepcopy(_chosen(tuple(word for word in overrides if not _sets_one_value(word))))
    for override in [config.parse(word) for word in overrides if _sets_one_value(word)]:
        try:
            OmegaConf.update(found, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException as error:
            config.check_overrides(overrides)  # raises with the names that there are
            raise ConfigError(f"{override.input_line}: {error}") from error
    return found


@functools.cache
def _chosen(words: tuple[str, ...]) -> "DictConfig":
    """The composition of words that choose files; an option says nothing outside its group, an experiment may."""
    groups = {word: config.parse(word).key_or_group for word in words}
    if not set(groups.values()) <= set(config.GROUPS) or not all(map(_plain, words)):
        return config.compose(words)
    experiment = tuple(word for word, group in groups.items() if group == "experiment")
    composed = copy.deepcopy(_option(experiment))
    for word, group in groups.items():
        if group != "experiment":
            composed[group] = _option((*experiment, word))[group]
    return composed


@functools.cache
def _option(words: tuple[str, ...]) -> "DictConfig":
    return config.compose(words)


def _sets_one_value(word: str) -> bool:
    """Whether it changes a key that is there, and chooses no file: such a one can be set after composing."""
    key = config.parse(word).key_or_group
    return _plain(word) and key not in config.GROUPS and "/" not in key and not key.startswith("hydra")


def _plain(word: str) -> bool:
    """Whether it changes what is there: no +key, ~key or group@package."""
    override = config.parse(word)
    return not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
