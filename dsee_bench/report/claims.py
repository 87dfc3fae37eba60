"""Claims about methods (`conf/claim/*.yaml`), each with a verdict from the runs that decide it.

A claim says what a difference A - B lies in: above a bound, or within a margin. Scores and times are noisy, so a
verdict needs the 95 % interval over tasks and seeds and a one-sided t-test, both; counts are exact, and every run must
agree.
"""

import functools
import math
import shlex
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsee_bench.config import CONF, ConfigError, nearest
from dsee_bench.config.recipes import option
from dsee_bench.config.validate import typed
from dsee_bench.record import Record, Score
from dsee_bench.report.costs import TIMES
from dsee_bench.report.record_check import check
from dsee_bench.report.results import flatten
from dsee_bench.report.spec import Where
from dsee_bench.report.statistics import SIGNIFICANT, Difference, Scores, difference, factor
from dsee_bench.runs.state import state_of
from dsee_bench.runs.sweep import Cell, expand
from dsee_bench.tasks.holdout import VALIDATION

SCORE = "score"  # the measure that is the first score of each task; every other one is a cost, or a ratio of two
Verdict = Literal["confirmed", "refuted", "undecided"]


@dataclass(frozen=True)
class Side:
    """The runs of a method that match `where`; `measure` where it is not the claim's."""

    method: str
    where: Where | None = None
    measure: str | None = None


@dataclass(frozen=True)
class Claim:
    """What somebody said, and the runs that decide it.

    `holds`: A - B is `higher` than the margin, `not_lower` than minus the margin, or `equal` within it. The margin is
    in points; B is a second side, or a number in points.
    """

    sentence: str
    source: str
    measure: str
    a: Side
    holds: Literal["higher", "not_lower", "equal"]
    margin: float
    runs: tuple[tuple[str, ...], ...]  # each as after dsee-bench --multirun
    b: Side | None = None
    number: float | None = None

    def __post_init__(self) -> None:
        if (self.b is None) == (self.number is None):
            raise ValueError("a claim compares with a side b or with a number: give one of the two")
        if self.margin < 0 or (self.holds == "equal" and self.margin == 0):
            raise ValueError(f"margin must be at least 0, and above it for holds=equal, got {self.margin}")
        if not self.runs:
            raise ValueError("a claim names the runs that decide it, as after dsee-bench --multirun")

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval that A - B lies in if the claim is true."""
        low = {"higher": self.margin, "not_lower": -self.margin, "equal": -self.margin}[self.holds]
        return low, self.margin if self.holds == "equal" else math.inf


@dataclass(frozen=True)
class Missing:
    """A run without which there is no verdict."""

    run_id: str
    why: str
    command: str


@dataclass(frozen=True)
class Judged:
    """A claim, its verdict, and what that rests on."""

    name: str
    claim: Claim
    verdict: Verdict
    difference: Difference | None
    interval: tuple[float, float] | None  # of exact measures the smallest and largest difference
    p_value: float | None  # that the difference is not where the claim says, or not elsewhere; of the verdict
    exact: bool
    checkpoint: str | None
    run_ids: tuple[str, ...]
    missing: tuple[Missing, ...]


def judge_all(wanted: Sequence[str], results_dir: Path) -> list[Judged]:
    """Judge the named claims, or all of conf/claim; ConfigError lists them."""
    paths = {path.stem: path for path in sorted((CONF / "claim").glob("*.yaml"))}
    for name in wanted:
        if name not in paths:
            raise ConfigError(f"no claim {name!r}{nearest(name, paths)} There are: {', '.join(paths)}")
    return [judge(name, read_claim(paths[name]), results_dir) for name in wanted or paths]


def read_claim(path: Path) -> Claim:
    """Read a claim from a YAML file and the files that its `defaults` name; ConfigError names file and key."""
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(option(path.parent.name, path.stem, path.parent.parent))
    return typed(Claim, content, str(path))


def judge(name: str, claim: Claim, results_dir: Path) -> Judged:
    """Return the verdict on a claim from the records in `results_dir`; ValueError where they cannot be compared."""
    cells = {cell.run_id: (words, cell) for words in claim.runs for cell in _expanded(words)}
    records, missing = [], []
    for run_id, (_, cell) in cells.items():
        found = state_of(run_id, results_dir)
        if found.name != "finished" or found.record is None:
            missing.append(_missing(cell, found.why or found.name))
            continue
        check(found.record)
        lacks = [measure for measure in _measures(claim, found.record) if _value(found.record, measure) is None]
        if lacks:
            missing.append(_missing(cell, f"no {', '.join(lacks)} was recorded", measure=True))
        records.append(found.record)
    _refuse_mixed(name, records)
    found_difference = _difference(claim, records)
    exact = not _noisy(claim)
    if found_difference is None or missing:
        verdict, interval, p_value = _undecided(found_difference, exact)
    else:
        verdict, interval, p_value = (_exactly if exact else _statistically)(claim, found_difference)
    checkpoints = {record.checkpoint for record in records if record.checkpoint is not None}
    checkpoint = checkpoints.pop() if checkpoints else None
    run_ids = tuple(record.run_id for record in records)
    return Judged(name, claim, verdict, found_difference, interval, p_value, exact, checkpoint, run_ids, tuple(missing))


@functools.cache
def _expanded(words: tuple[str, ...]) -> list[Cell]:
    return expand(words)


def _missing(cell: Cell, why: str, *, measure: bool = False) -> Missing:
    words = [*cell.overrides, *(["measure=true"] if measure else [])]
    return Missing(cell.run_id, why, shlex.join(["dsee-bench", *words]))


def _sides(claim: Claim) -> list[Side]:
    return [claim.a] if claim.b is None else [claim.a, claim.b]


def _belongs(record: Record, side: Side) -> bool:
    settings = flatten(record.config)
    wanted = {key: value if isinstance(value, tuple) else (value,) for key, value in (side.where or {}).items()}
    return settings["method.name"] == side.method and all(
        settings.get(key) in admitted for key, admitted in wanted.items()
    )


def _measures(claim: Claim, record: Record) -> list[str]:
    return [side.measure or claim.measure for side in _sides(claim) if _belongs(record, side)]


def _noisy(claim: Claim) -> bool:
    return any((measure := side.measure or claim.measure) == SCORE or measure in TIMES for side in _sides(claim))


def _first_score(record: Record) -> Score | None:
    return next((score for score in record.scores if score.split != VALIDATION), None)


def _value(record: Record, measure: str) -> float | None:
    """The measure of a run in points, better higher; a cost that is no share is its number."""
    if measure == SCORE:
        score = _first_score(record)
        if score is None or score.value is None:
            return None
        return score.value * factor(score.unit) * (1 if score.better == "higher" else -1)
    costs = {cost.name: (cost.value, cost.unit) for cost in record.costs}
    if {"latency_ms", "latency_dense_ms"} <= costs.keys() and costs["latency_dense_ms"][0]:
        final, dense = costs["latency_ms"][0], costs["latency_dense_ms"][0]
        costs["latency_saved"] = (None if final is None or dense is None else 1 - final / dense, "share")
    part, _, whole = measure.partition(" / ")
    value, unit = costs.get(part, (None, ""))
    if not whole:
        return None if value is None else value * (100 if unit == "share" else 1)
    base, _ = costs.get(whole, (None, ""))
    return None if value is None or not base else 100 * value / base


def _difference(claim: Claim, records: Sequence[Record]) -> Difference | None:
    """A - B by task and seed. Every task narrows a model to one shape, so its times are one task's."""
    a, *others = (_scores(claim, side, records) for side in _sides(claim))
    if not others:
        assert claim.number is not None
        others = [{task: dict.fromkeys(values, claim.number) for task, values in a.items()}]
    return difference(others[0], a)


def _scores(claim: Claim, side: Side, records: Sequence[Record]) -> Scores:
    by_task: dict[str, dict[int, float]] = defaultdict(dict)
    times = _noisy(claim) and claim.measure != SCORE
    for record in records:
        value = _value(record, side.measure or claim.measure) if _belongs(record, side) else None
        task, seed = record.config["task"]["name"], record.config["seed"]
        if value is None:
            continue
        place = zlib.crc32(f"{task} {seed}".encode()) if times else seed
        if place in by_task["" if times else task]:
            raise ValueError(f"two runs of {side.method} on {task} with seed {seed}; tell them apart by `where`")
        by_task["" if times else task][place] = value
    return by_task


def _refuse_mixed(name: str, records: Sequence[Record]) -> None:
    """ValueError where checkpoints were chosen in different ways, or runs of a task were scored on other rows."""
    kinds: dict[str, dict[object, str]] = defaultdict(dict)
    for record in records:
        if record.checkpoint is not None:
            kinds["checkpoint"].setdefault(record.checkpoint, record.run_id)
        if (score := _first_score(record)) is not None:
            task = record.config["task"]["name"]
            checksum = record.data.get(score.split, {}).get("sha256")
            kinds[f"checksum of the {score.split} rows of {task}"].setdefault(checksum, record.run_id)
            kinds[f"metric signature of {task}"].setdefault(score.signature, record.run_id)
    for what, run_of in kinds.items():
        if len(run_of) > 1:
            values = ", ".join(f"{value} in {run_id}" for value, run_id in run_of.items())
            raise ValueError(f"claim {name} mixes runs that cannot be compared: {what} is {values}")


Outcome = tuple[Verdict, tuple[float, float] | None, float | None]


def _undecided(found: Difference | None, exact: bool) -> Outcome:
    if found is None:
        return "undecided", None, None
    return "undecided", _range(found) if exact else found.interval(), None


def _range(found: Difference) -> tuple[float, float]:
    values = [value for of_task in found.by_task.values() for value in of_task]
    return min(values), max(values)


def _exactly(claim: Claim, found: Difference) -> Outcome:
    """Every run must agree: a count has no noise."""
    low, high = claim.bounds
    smallest, largest = _range(found)
    if low < smallest and largest < high:
        return "confirmed", (smallest, largest), None
    return ("refuted" if largest <= low or smallest >= high else "undecided"), (smallest, largest), None


def _statistically(claim: Claim, found: Difference) -> Outcome:
    """The interval and a one-sided test must both say so; of an equality two one-sided tests."""
    low, high = claim.bounds
    interval = found.interval()
    above_low, above_high = found.p_above(low), 1.0 if high == math.inf else found.p_above(high)
    if interval is None or above_low is None or above_high is None:
        return "undecided", interval, None
    inside = above_low if high == math.inf else max(above_low, 1 - above_high)
    if inside < SIGNIFICANT and low < interval[0] and interval[1] < high:
        return "confirmed", interval, inside
    outside = min(1 - above_low, above_high)
    if outside < SIGNIFICANT and (interval[1] < low or interval[0] > high):
        return "refuted", interval, outside
    return "undecided", interval, inside
