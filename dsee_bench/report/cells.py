"""One cell of a table: the runs of one method on one task, over seeds, and its marks.

Runs that cannot be compared are refused with their names, never averaged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean, median, stdev
from typing import Any, Literal

from dsee_bench.report.rows import show
from dsee_bench.report.statistics import above_chance, factor, insignificant

MUST_AGREE = {
    "schema": "record schema",
    "checkpoint": "checkpoint",
    "sha256": "checksum of the scored split",
    "train_sha256": "checksum of the training split",
    "n": "number of examples",
    "signature": "metric signature",
    "unit": "unit",
}
MAJORITY = "majority"  # the method that always gives the most frequent answer
Result = Mapping[Any, Any]  # one score of one run: a line of the frame


@dataclass(frozen=True)
class Cell:
    """One value a seed, in the unit that is shown."""

    values: tuple[float, ...]
    seeds: tuple[int, ...]
    digits: int
    better: Literal["higher", "lower"]
    costs: Mapping[str, float | None] = field(default_factory=dict)  # by name, the mean over the cell's runs
    mark: Literal["best", "tie"] | None = None
    at_chance: bool = False  # not all runs are above always giving the most frequent answer

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def median(self) -> float:
        return median(self.values)

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for one seed."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        spread = "" if self.std is None else f" ± {self.std:.{self.digits}f}"
        return f"{self.mean:.{self.digits}f}{spread} ({len(self.seeds)}){' †' if self.at_chance else ''}"


def cell_of(results: Sequence[Result], digits: int, place: str, chance: float | None = None) -> Cell | None:
    """Average results over seeds; None if no run has a value, ValueError if they cannot be averaged.

    `chance` is the accuracy of always giving the most frequent answer, where the score is one.
    """
    refuse_mixed(results, place, tuple(MUST_AGREE))
    scored = sorted((result for result in results if result["value"] is not None), key=lambda result: result["seed"])
    if not scored:
        return None
    seeds = tuple(result["seed"] for result in scored)
    if len(set(seeds)) < len(seeds):
        names = ", ".join(result["run_id"] for result in scored)
        raise ValueError(f"{place}: two runs of one seed, {names}; remove one of the records")
    scale = factor(scored[0]["unit"])
    known = dict.fromkeys(name for result in scored for name in result["counts"])  # some seeds may be timed, others not
    costs = {name: _mean([result.get(name) for result in scored]) for name in known}
    values = tuple(scale * result["value"] for result in scored)
    at_chance = chance is not None and not all(above_chance(run["value"], run["n"], chance) for run in scored)
    return Cell(values, seeds, digits, scored[0]["better"], costs, at_chance=at_chance)


def chances(runs: Sequence[Result]) -> dict[tuple[str, str, Any], float]:
    """Return the accuracy of the method `majority` by task, split and checksum of the split."""
    return {
        (run["task"], run["split"], run["sha256"]): run["value"]
        for run in runs
        if run["method"] == MAJORITY and run["score"] == "accuracy" and run["value"] is not None
    }


def refuse_mixed(results: Sequence[Result], place: str, fields: Sequence[str]) -> None:
    """ValueError that names a run of each kind if the results differ in one of these fields of the frame."""
    for name in fields:
        run_of = {result[name]: result["run_id"] for result in reversed(results)}
        if len(run_of) > 1:
            pairs = sorted(run_of.items(), key=lambda pair: pair[1])
            values = ", ".join(f"{show(value)} in {run}" for value, run in pairs)
            raise ValueError(
                f"{place} mixes runs that cannot be compared: {MUST_AGREE[name]} is {values}; "
                "run one of them again, or leave it out with `filters` or `where` in the table's YAML file"
            )


def average_of(cells: Sequence[Cell | None], digits: int) -> Cell | None:
    """Return each seed's mean over the cells, for the seeds that all have; None where a cell or such a seed lacks."""
    chosen = [cell for cell in cells if cell is not None]
    seeds = sorted(set.intersection(*(set(cell.seeds) for cell in chosen))) if chosen else []
    if len(chosen) < len(cells) or not seeds or len({cell.better for cell in chosen}) > 1:
        return None
    by_seed = [dict(zip(cell.seeds, cell.values, strict=True)) for cell in chosen]
    costs = {name: _mean([cell.costs.get(name) for cell in chosen]) for name in chosen[0].costs}
    values = tuple(fmean(values[seed] for values in by_seed) for seed in seeds)
    return Cell(values, tuple(seeds), digits, chosen[0].better, costs)


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None and value == value]  # the frame has NaN for missing
    return fmean(known) if known else None


def marked(column: Sequence[Cell | None]) -> list[Cell | None]:
    """Mark the best mean of a column, and the cells without a significant difference from it.

    A single seed tells nothing, so a cell with one is neither. A column with one cell of more has no best.
    """
    cells = [cell for cell in column if cell is not None and len(cell.values) > 1]
    if len(cells) < 2:
        return list(column)
    best = max(cells, key=lambda cell: cell.mean if cell.better == "higher" else -cell.mean)
    ties = insignificant([() if cell is None else cell.values for cell in column], best.values)
    return [
        None if cell is None else replace(cell, mark=_mark(cell, best, tie))
        for cell, tie in zip(column, ties, strict=True)
    ]


def _mark(cell: Cell, best: Cell, tie: bool) -> Literal["best", "tie"] | None:
    if cell.mean == best.mean and len(cell.values) > 1:
        return "best"
    return "tie" if tie else None
