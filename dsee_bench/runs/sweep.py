"""The runs of a sweep, without running them: the product of the swept values, in Hydra's order.

Composing a configuration costs a tenth of a second, a thousand of them two minutes. So each option of a group is
composed once and put together for every cell, and single settings are set on that, as Hydra itself does in the end.
"""

import functools
import itertools
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsee_bench import config, plan
from dsee_bench.config import ConfigError
from dsee_bench.config.flags import check_composed
from dsee_bench.config.launch import Launch
from dsee_bench.config.shorthand import spelled_out
from dsee_bench.plan import budget
from dsee_bench.runs import data_check
from dsee_bench.runs.state import state_of

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    overrides: tuple[str, ...]  # as `dsee-bench` takes them
    run_id: str
    launch: Launch


def expand(words: Sequence[str]) -> list[Cell]:
    """Return every run of `dsee-bench --multirun <words>`, in Hydra's order; ConfigError for an unknown name.

    The experiment's own sweep comes first, and the words override it.
    """
    return product(*check(words))


def check(words: Sequence[str]) -> tuple[list[str], Mapping[str, Any]]:
    """Return the words that choose runs, checked, and the experiment's own sweep (hydra.sweeper.params)."""
    config.check_overrides(words)
    hydra = config.compose([word for word in words if not config.parse(word).is_sweep_override()], hydra_too=True).hydra
    check_composed(hydra)
    return [word for word in words if not config.parse(word).is_hydra_override()], hydra.sweeper.params or {}


def product(words: Sequence[str], params: Mapping[str, Any]) -> list[Cell]:
    """Return every combination of the swept values of `params`, an experiment's sweep, and of the words."""
    cells, mistakes = runnable(words, params)
    if mistakes:
        raise mistakes[0]
    return cells


def runnable(words: Sequence[str], params: Mapping[str, Any]) -> tuple[list[Cell], list[ConfigError]]:
    """Return the cells of a sweep that can run, and an error for each of the others.

    An unknown name is raised at once: it is wrong in every cell.
    """
    cells, mistakes = [], []
    checked: dict[
        tuple[str, ...], tuple[Mapping[str, Any], Launch]
    ] = {}  # cells that differ in the seed alone are checked once
    for overrides in _combinations(words, params):
        seeds = [int(word.partition("=")[2]) for word in overrides if _is_seed(word)]
        others = tuple(word for word in overrides if not _is_seed(word))
        if seeds and others in checked:
            values, launch = checked[others]
            cells.append(Cell(overrides, config.run_id({**values, "seed": seeds[-1]}), launch))
            continue
        in_cell = f"in the cell {' '.join(overrides)}: "
        try:
            composition = composed(overrides)
        except ConfigError as error:
            raise ConfigError(f"{in_cell}{error}") from error
        try:
            values = budget.resolve(composition)
            settings = plan.read(values)
            cells.append(Cell(overrides, settings.run_id, settings.launch))
        except ConfigError as error:
            mistakes.append(ConfigError(f"{in_cell}{error}"))
            continue
        if "${seed}" not in str(composition):
            checked[others] = values, settings.launch
    return cells, mistakes


def _is_seed(word: str) -> bool:
    """Return whether the word sets the seed to a number that is one."""
    name, _, value = word.partition("=")
    return name == "seed" and value.isascii() and value.isdigit() and len(value) < 10


def _combinations(words: Sequence[str], params: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the overrides of each cell in the order of Hydra's basic sweeper: the last swept key changes first.

    A variant of a family of tasks may stand among the tasks.
    """
    values: dict[str, list[list[str]]] = {}
    for word in (*(f"{key}={value}" for key, value in params.items()), *words):
        override = config.parse(word)
        key = override.get_key_element()
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise ConfigError(f"{word} has no list of values to sweep over; write {key}=A,B or {key}=range(N)")
        swept = override.is_sweep_override()
        options = override.sweep_string_iterator() if swept else [override.get_value_element_as_str()]
        values[key] = [spelled_out([f"{key}={option}"]) for option in options]
    return (tuple(itertools.chain(*cell)) for cell in itertools.product(*values.values()))


def unfinished(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells without a record of a finished run, and those that decide themselves what is left to do.

    These are all cells where more than a record is asked for, and finished ones whose data may have changed since. A
    record without work files comes from elsewhere; its data are in doubt only where there is a `data_dir`.
    """

    def is_finished(cell: Cell) -> bool:
        launch = cell.launch
        record = state_of(cell.run_id, launch.results).record
        work = launch.results / "work" / cell.run_id
        more = launch.force or launch.plan or launch.export is not None or launch.measure or launch.evaluate_on
        if more or record is None or record.status != "finished":
            return False
        to_compare = launch.data_dir is not None or (work / data_check.NAME).exists()
        return not (to_compare and data_check.doubtful(work, launch.data_dir, record))

    return [cell for cell in cells if not is_finished(cell)]


def resolved(overrides: Sequence[str]) -> dict[str, Any]:
    """Return what `config.compose(overrides)` resolves to."""
    return budget.resolve(composed(overrides))


def composed(overrides: Sequence[str]) -> "DictConfig":
    """Return what `config.compose(overrides)` gives, from parts that are composed once for many cells.

    An option says nothing outside its group, so options are composed one by one; an experiment may, so it is in each.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    values = [word for word in overrides if _sets_one_value(word)]
    options = {word: config.parse(word).key_or_group for word in overrides if word not in values}
    whole = not (set(options.values()) <= set(config.GROUPS) and all(map(_plain, options)))
    start = tuple(word for word, group in options.items() if whole or group == "experiment")
    composition: DictConfig = pickle.loads(_composed_once(start))  # a deep copy, in a fifth of the time
    for word, group in options.items():
        if word not in start:
            composition[group] = _option(start, word, group)
    for word in values:
        override = config.parse(word)
        try:
            OmegaConf.update(composition, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException as error:
            config.check_overrides(overrides)  # raises with the names that there are
            raise ConfigError(f"{word}: {error}") from error
    return composition


@functools.cache
def _composed_once(words: tuple[str, ...]) -> bytes:
    return pickle.dumps(config.compose(words))


@functools.cache
def _option(start: tuple[str, ...], word: str, group: str) -> "DictConfig":
    """Return the settings of a group as `config.compose((*start, word))` has them."""
    name = str(config.parse(word).value())
    own = name in config.options(group) and config.file_of(group, name).is_relative_to(config.CONF)
    if own and not start:
        return config.as_composed(group, name)
    composition: DictConfig = pickle.loads(_composed_once((*start, word)))
    settings: DictConfig = composition[group]
    return settings


def _sets_one_value(word: str) -> bool:
    """Return whether the word changes a key that is there, and chooses no file: it can be set after composing."""
    key = config.parse(word).key_or_group
    return _plain(word) and key not in config.GROUPS and "/" not in key and not key.startswith("hydra")


def _plain(word: str) -> bool:
    """Return whether the word changes what is there: no +key, ~key or group@package."""
    override = config.parse(word)
    return not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
