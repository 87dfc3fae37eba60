"""A run's settings as types, read from the resolved configuration and checked."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dsee_bench import config, record
from dsee_bench.config import ConfigError, recipes, validate
from dsee_bench.config.launch import Launch
from dsee_bench.config.limits import Seed
from dsee_bench.config.recipes import Recipe
from dsee_bench.deploy import engines
from dsee_bench.models.backbone import Backbone
from dsee_bench.plan import retention
from dsee_bench.stages.stage import Stage
from dsee_bench.system.files import file_name
from dsee_bench.system.shell import shell_path
from dsee_bench.tasks.example import CAUSAL, Split, Task
from dsee_bench.tasks.holdout import TWO_WAYS, hold_out


@dataclass(frozen=True)
class Method:
    """A method's name and its stages in order, each still plain values."""

    name: str
    stages: Mapping[str, Any]
    answers: Literal["most_frequent"] | None = None  # without any model; None: those of the tuned one
    neighbour: str | None = None  # the method to compare with, tuned as long; changes no result


@dataclass(frozen=True)
class Composition(Launch):
    """A whole configuration as conf/ composes it; what has a `_target_` is still plain values."""

    seed: Seed
    init_from: str | None  # id of the run whose adapter this one starts from
    backbone: Mapping[str, Any]
    task: Mapping[str, Any]
    method: Method
    train: Recipe


@dataclass(frozen=True)
class Settings:
    """A whole run, typed and checked."""

    run_id: str
    seed: int
    init_from: str | None  # id of the run whose adapter this one starts from
    backbone: Backbone
    task: Task
    method: str
    answers: Literal["most_frequent"] | None
    stages: dict[str, Stage]
    recipe: Recipe
    source: recipes.Source  # whose recipe it is, and what it was made for
    launch: Launch
    config: dict[str, Any]  # the resolved settings that change a result, for the record
    others: dict[str, Task] = dataclasses.field(default_factory=dict)  # that evaluate_on names

    @property
    def results_dir(self) -> Path:
        return self.launch.results

    @property
    def work(self) -> Path:
        """The folder of the run's own files."""
        return self.results_dir / "work" / self.run_id

    @property
    def states(self) -> Path:
        """The folder of cached states, for all runs."""
        return self.results_dir / "work" / "states"

    @property
    def record(self) -> Path:
        """The file of the run's record."""
        return record.path_of(self.run_id, self.results_dir)

    @property
    def labels(self) -> int | None:
        """Return the outputs of the task head: one a class or label, else one; None for a language model."""
        if self.task.kind in CAUSAL:
            return None
        return len(self.task.labels) if self.task.kind in ("classification", "multi_label") else 1

    def load_data(self) -> dict[str, Split[Any]]:
        """Return the task's splits; with train.select_on=validation some rows of train are a split of their own."""
        data = self.task.load(self.launch.data_dir, self.seed)
        if self.recipe.validation_seed is None:
            if "dev" not in data:
                raise ValueError(f"{self.task.name} has no dev split; {TWO_WAYS}")
            return data
        return hold_out(data, self.recipe.held_out(len(data["train"])), self.recipe.validation_seed)


def read(resolved: Mapping[str, Any]) -> Settings:
    """Return typed settings from the resolved configuration; ConfigError names a wrong one."""
    validate.check_targets(resolved)
    try:
        paths = {
            name: shell_path(resolved[name], name)
            for name in ("data_dir", "results_dir", "export", "evaluate_data_dir")
            if isinstance(resolved.get(name), str)
        }
        checked = validate.typed(Composition, {**resolved, **paths}, "")
        stages = {name: validate.build(node, f"method.stages.{name}") for name, node in checked.method.stages.items()}
        backbone, task = (validate.build(resolved[group], group) for group in ("backbone", "task"))
        if backbone.path is not None:
            shell_path(backbone.path, "backbone.path")
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from error
    validate.check_numbers(resolved)
    engines.check(checked.measure_engines)
    others = retention.read_others(checked.evaluate_on, checked.evaluate_data_dir or checked.data_dir)
    return Settings(
        run_id=config.run_id(resolved),
        seed=checked.seed,
        init_from=_init_from(checked.init_from),
        backbone=backbone,
        task=task,
        method=checked.method.name,
        answers=checked.method.answers,
        stages=stages,
        recipe=checked.train,
        source=recipes.source(resolved, config.CONF),
        launch=Launch(**{field.name: getattr(checked, field.name) for field in dataclasses.fields(Launch)}),
        config=config.identity(resolved),
        others=others,
    )


def _init_from(value: str | None) -> str | None:
    if value is not None and value != file_name(value):
        raise ConfigError(
            f"init_from={value} is no id of a run; one is the name of a file in results/runs, without .json"
        )
    return value
