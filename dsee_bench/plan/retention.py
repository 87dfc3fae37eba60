"""What `evaluate_on` asks for: other tasks that a run's model is scored on before, between and after its tunings.

A language model can be scored on any text, so its first score is that of the untouched model. A classifier has no head
before its first tuning; it is scored with the run's head, so the other task must have the same answers.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsee_bench import config
from dsee_bench.config import ConfigError, validate
from dsee_bench.config.shorthand import spelled_out, variants
from dsee_bench.models import auto
from dsee_bench.stages.tune import Tune
from dsee_bench.tasks.example import CAUSAL, Task

if TYPE_CHECKING:
    from dsee_bench.plan import Settings


@functools.cache  # for the cells of a sweep
def read_others(names: tuple[str, ...], data_dir: Path | None) -> dict[str, Task]:
    """Return the tasks that `evaluate_on` names, by their own names; ConfigError for an unknown or repeated one."""
    others: dict[str, Task] = {}
    known = [*config.options("task"), *variants()] if names else []
    for name in names:
        if name not in known:
            raise ConfigError(f"evaluate_on names {name!r:.80}, which is no task{config.nearest(name, known)}")
        try:
            composed = config.compose(spelled_out([f"task={name}"]))
            composed.data_dir = None if data_dir is None else str(data_dir)
            task: Task = validate.build(auto.resolve(composed)["task"], "task")
        except ConfigError as error:
            raise ConfigError(f"evaluate_on: {error}") from error
        if task.name in others:
            raise ConfigError(f"evaluate_on names {task.name} twice; leave one out")
        others[task.name] = task
    return others


def moments(settings: "Settings") -> list[str | None]:
    """Return after which stages the other tasks are scored: each tuning and the last; None: before the first."""
    tunings = [name for name, stage in settings.stages.items() if isinstance(stage, Tune)]
    after: list[str | None] = [name for name in settings.stages if name in (*tunings, *[*settings.stages][-1:])]
    return [None, *after] if settings.task.kind in CAUSAL else after[after.index(tunings[0]) :]


def check_others(settings: "Settings") -> None:
    """ConfigError for another task that the run's model cannot answer."""
    own = settings.task
    for other in settings.others.values():
        said = f"evaluate_on: {other.name} is of kind {other.kind}, and {own.name} of kind {own.kind}"
        if settings.answers is not None:
            raise ConfigError(f"evaluate_on: method {settings.method} has no model to score; leave it out")
        if (own.kind in CAUSAL) != (other.kind in CAUSAL):
            raise ConfigError(f"{said}; a language model is scored on texts, a model with a head on answers")
        if own.kind in CAUSAL:
            continue
        if not any(isinstance(stage, Tune) for stage in settings.stages.values()):
            raise ConfigError(f"evaluate_on: method {settings.method} tunes no head to answer with; leave it out")
        if own.kind != other.kind:
            raise ConfigError(f"{said}; the head that is tuned answers its own kind alone")
        if tuple(own.labels) != tuple(other.labels):
            raise ConfigError(
                f"evaluate_on: {other.name} has the labels {', '.join(other.labels)}, and the head answers with "
                f"{', '.join(own.labels)}; give it these in a YAML of your own, where `written` has those of its rows"
            )


def line(others: Sequence[str], after: Sequence[str | None]) -> str:
    """Return what a plan says of it."""
    places = [f"after {name}" if name else "before the first stage" for name in after]
    return f"Also scored on {', '.join(others)}: {', '.join(places)}."
