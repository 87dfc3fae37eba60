"""A search of settings on validation rows: the trials of each method, the best one, and what is missing.

Every method of a search has the same number of trials on the same tasks and seeds (docs/protocol.md): a method with
more trials finds a better best one by chance alone, so unequal searches are refused.
"""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from dsee_bench.config import ConfigError, parse
from dsee_bench.record import Record, Score
from dsee_bench.report.record_check import check
from dsee_bench.report.results import flatten
from dsee_bench.report.statistics import expected_best, factor
from dsee_bench.runs.state import State, state_of
from dsee_bench.runs.sweep import Cell, expand, resolved

SPLIT = "validation"
NOT_VARIED = ("seed", "task", "method", "experiment")  # keys of a sweep that tell no trials of a method apart


@dataclass(frozen=True)
class Run:
    """One run of the search."""

    experiment: str
    method: str
    task: str
    seed: int
    settings: tuple[tuple[str, str], ...]  # the swept ones that make it this trial
    command: str
    state: State
    score: Score | None  # on the validation rows; None where the run is not finished or has none

    @property
    def points(self) -> float | None:
        """The score, times 100 where its unit is a share."""
        if self.score is None or self.score.value is None:
            return None
        return self.score.value * factor(self.score.unit)


@dataclass(frozen=True)
class Trial:
    """One choice of settings: its runs on all tasks and seeds."""

    settings: tuple[tuple[str, str], ...]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.settings) or "as composed"

    @property
    def finished(self) -> bool:
        return all(run.state.name == "finished" for run in self.runs)

    @cached_property
    def by_task(self) -> dict[str, float | None]:
        """The mean over seeds of each task; None where a run has no score."""
        points = defaultdict(list)
        for run in self.runs:
            points[run.task].append(run.points)
        return {task: _mean(values) for task, values in points.items()}

    @cached_property
    def mean(self) -> float | None:
        """The mean over tasks; None where one of them has none."""
        return _mean(list(self.by_task.values()))


@dataclass(frozen=True)
class Method:
    """A method and its trials, in the order of the sweep."""

    name: str
    trials: tuple[Trial, ...]
    better: str  # higher or lower

    @property
    def finished(self) -> bool:
        return all(trial.finished for trial in self.trials)

    @property
    def chosen(self) -> Trial | None:
        """The trial with the best mean, the first of equal ones; None before all are finished."""
        scored = [(trial.mean, trial) for trial in self.trials if trial.mean is not None]
        if not (self.finished and scored):
            return None
        best = (max if self.better == "higher" else min)(value for value, _ in scored)
        return next(trial for value, trial in scored if value == best)

    @property
    def at_the_edge(self) -> list[str]:
        """The settings whose chosen value is the smallest or largest number that was tried."""
        chosen = dict(self.chosen.settings) if self.chosen else {}
        tried = {key: {dict(trial.settings)[key] for trial in self.trials} for key in chosen}
        numbers = {key: sorted(map(float, values)) for key, values in tried.items() if all(map(_is_number, values))}
        return [key for key, values in numbers.items() if float(chosen[key]) in (values[0], values[-1])]

    @property
    def expected(self) -> list[float] | None:
        """The expected best mean of 1, 2, ... trials; None where a trial has no mean."""
        means = [trial.mean for trial in self.trials if trial.mean is not None]
        if not self.finished or len(means) < len(self.trials):
            return None
        return expected_best(means, self.better)


@dataclass(frozen=True)
class Search:
    """All methods that were searched, and the commands that finish the search."""

    experiments: tuple[str, ...]
    methods: tuple[Method, ...]
    commands: tuple[str, ...]  # one an experiment

    @property
    def runs(self) -> list[Run]:
        return [run for method in self.methods for trial in method.trials for run in trial.runs]

    @property
    def missing(self) -> list[Run]:
        return [run for run in self.runs if run.state.name != "finished"]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(run.task for run in self.runs))

    def score_of(self, task: str) -> tuple[Score, Record] | None:
        """Return one score of the task, with its record; None before a run is finished."""
        found = ((run.score, run.state.record) for run in self.runs if run.task == task)
        return next(((score, record) for score, record in found if score and record), None)


def search(words: Sequence[str], results_dir: Path) -> Search:
    """Return the search that experiments make together; `KEY=VALUE` words hold in all of them.

    ValueError where methods differ in their number of trials, tasks or seeds, where a run chooses on other rows than
    validation, or where the runs of a task cannot be compared.
    """
    experiments = [word for word in words if "=" not in word]
    common = [word for word in words if "=" in word]
    if not experiments:
        raise ConfigError(f"search needs the name of an experiment, got {' '.join(common) or 'none'}")
    sweeps = [[f"experiment={name}", *common] for name in dict.fromkeys(experiments)]
    runs = [run for sweep in sweeps for run in _runs(sweep, results_dir)]
    _refuse_unequal(runs)
    _refuse_mixed(runs)
    better = {run.score.better for run in runs if run.score}
    if len(better) > 1:
        raise ValueError("the tasks of a search must all be better higher or all lower; search them one at a time")
    methods = tuple(_methods(runs, better.pop() if better else "higher"))
    commands = tuple(shlex.join(["dsee-bench", "--multirun", *sweep]) for sweep in sweeps)
    return Search(tuple(dict.fromkeys(experiments)), methods, commands)


def _runs(words: Sequence[str], results_dir: Path) -> Iterator[Run]:
    cells = expand(words)
    values = [{parse(word).key_or_group: word.partition("=")[2] for word in cell.overrides} for cell in cells]
    varied = [key for key in values[0] if key not in NOT_VARIED and len({value[key] for value in values}) > 1]
    for cell, value in zip(cells, values, strict=True):
        yield _run(words[0].partition("=")[2], cell, tuple((key, value[key]) for key in varied), results_dir)


def _run(experiment: str, cell: Cell, settings: tuple[tuple[str, str], ...], results_dir: Path) -> Run:
    config = flatten(resolved(cell.overrides))
    if config["train.select_on"] != SPLIT:
        raise ConfigError(
            f"{experiment} has train.select_on={config['train.select_on']}, and a search chooses on rows that are not "
            "reported; set train.select_on=validation in the experiment, or add it here"
        )
    state = state_of(cell.run_id, results_dir)
    if state.name == "finished" and state.record is not None:
        check(state.record)
    command = shlex.join(["dsee-bench", *cell.overrides])
    names = (config["method.name"], config["task.name"], config["seed"])
    return Run(experiment, *names, settings, command, state, _score(state.record))


def _score(record: Record | None) -> Score | None:
    """The first score on the validation rows; of texts, whose validation rows are not written, the loss on them."""
    if record is None or record.status != "finished":
        return None
    scores = [score for score in record.scores if score.split == SPLIT]
    return scores[0] if scores else _loss(record)


def _loss(record: Record) -> Score | None:
    tuned = [stage.facts for stage in record.stages if stage.facts.get("scored_on") == SPLIT]
    points = tuned[-1]["dev"] if tuned else []
    best = [point["loss"] for point in points if point["step"] == tuned[-1]["best_step"] and "loss" in point]
    size, first = record.data.get(SPLIT, {}).get("n") or 0, record.config.get("train", {}).get("dev_rows")
    signature = "loss|of the language model" + (f"|on the first {first:,} texts of them" if first else "")
    return Score("loss", best[0], "nats", "lower", SPLIT, size, signature) if best else None


def _methods(runs: Sequence[Run], better: str) -> Iterator[Method]:
    by_method: dict[str, dict[tuple[tuple[str, str], ...], list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        by_method[run.method][run.settings].append(run)
    for name, trials in by_method.items():
        yield Method(name, tuple(Trial(settings, tuple(of_trial)) for settings, of_trial in trials.items()), better)


def _refuse_unequal(runs: Sequence[Run]) -> None:
    """ValueError where a method has other trials, tasks or seeds than the first, or two runs in one place."""
    places: dict[str, list[tuple[object, str, int]]] = defaultdict(list)
    for run in runs:
        places[run.method].append((run.settings, run.task, run.seed))
    grids = {}
    for method, of_method in places.items():
        if len(set(of_method)) < len(of_method):
            names = ", ".join(dict.fromkeys(run.experiment for run in runs if run.method == method))
            raise ValueError(
                f"{method} has two runs of one trial, task and seed in {names}; search these experiments one at a time"
            )
        trials = len({settings for settings, _, _ in of_method})
        grids[method] = (trials, sorted({(task, seed) for _, task, seed in of_method}), len(of_method))
    if len(set(map(repr, grids.values()))) > 1:
        shown = "; ".join(
            f"{method}: {trials} on {', '.join(f'{task} seed {seed}' for task, seed in pairs)}"
            for method, (trials, pairs, _) in grids.items()
        )
        raise ValueError(
            "methods are compared after equal searches: the same number of trials on the same tasks and seeds. "
            f"Trials are {shown}. Give the experiments that make them equal"
        )


def _refuse_mixed(runs: Sequence[Run]) -> None:
    """ValueError where runs of one task saw other rows, or were scored by another implementation."""
    kinds: dict[tuple[str, str], dict[object, str]] = defaultdict(dict)
    for run in runs:
        if run.score is None or run.state.record is None:
            continue
        data = run.state.record.data
        for name, value in (
            ("checksum of the training rows", data.get("train", {}).get("sha256")),
            ("checksum of the validation rows", data.get(SPLIT, {}).get("sha256")),
            ("metric signature", run.score.signature),
        ):
            kinds[run.task, name].setdefault(value, run.state.run_id)
    for (task, name), run_of in kinds.items():
        if len(run_of) > 1:
            values = ", ".join(f"{value} in {run_id}" for value, run_id in run_of.items())
            raise ValueError(f"the trials of {task} cannot be compared: {name} is {values}; run one of them again")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
