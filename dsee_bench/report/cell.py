"""One cell of a table: the runs of one method on one task, over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean, median, stdev
from typing import Any, Literal

from dsee_bench.report.spec import ScoreColumn, TableSpec
from dsee_bench.report.statistics import within_noise
from dsee_bench.report.variants import show

PERCENT_UNITS = ("0-1", "-1-1")  # shown times 100, as papers print them
MUST_AGREE = {
    "schema": "record schema",
    "checkpoint": "checkpoint",
    "sha256": "checksum of the scored split",
    "train_sha256": "checksum of the training split",
    "n": "number of examples",
    "signature": "metric signature",
    "unit": "unit",
}
Mark = Literal["best", "tie"]
Line = Mapping[Any, Any]  # one row of the frame


@dataclass(frozen=True)
class Cell:
    """A value a seed, in the unit that is shown."""

    values: tuple[float, ...]
    seeds: tuple[int, ...]  # empty for an average over cells whose seeds differ
    digits: int
    better: Literal["higher", "lower"]
    costs: Mapping[str, float | None] = field(default_factory=dict)  # by name, the mean over the cell's runs
    mark: Mark | None = None

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
        count = f" ({len(self.seeds)})" if self.seeds else ""
        return f"{self.mean:.{self.digits}f}{spread}{count}"


def cell_of(runs: Sequence[Line], column: ScoreColumn, spec: TableSpec, where: str) -> Cell | None:
    """The cell of some rows of the frame; None if no run has a value, ValueError if they cannot be averaged."""
    refuse_mixed(runs, where, tuple(MUST_AGREE))
    had = sorted((run for run in runs if run["value"] is not None), key=lambda run: run["seed"])
    if not had:
        return None
    seeds = tuple(run["seed"] for run in had)
    if len(set(seeds)) < len(seeds):
        names = ", ".join(run["run_id"] for run in had)
        raise ValueError(f"{where}: two runs of one seed, {names}; remove one of the records")
    factor = 100 if had[0]["unit"] in PERCENT_UNITS else 1
    digits = spec.digits if column.digits is None else column.digits
    known = dict.fromkeys(name for run in had for name in run["counts"])  # some seeds may have been timed, others not
    costs = {name: mean_of([run.get(name) for run in had]) for name in known}
    return Cell(tuple(factor * run["value"] for run in had), seeds, digits, had[0]["better"], costs)


def refuse_mixed(runs: Sequence[Line], where: str, fields: Sequence[str]) -> None:
    """ValueError that names a run of each kind if the runs differ in one of the fields of the frame."""
    for name in fields:
        first = {run[name]: run["run_id"] for run in reversed(runs)}
        if len(first) > 1:
            pairs = sorted(first.items(), key=lambda pair: pair[1])
            each = ", ".join(f"{show(value)} in {run}" for value, run in pairs)
            raise ValueError(
                f"{where} mixes runs that cannot be compared: {MUST_AGREE[name]} is {each}; "
                "run one of them again, or leave it out with `filters` or `where` in the table's YAML file"
            )


def marked(column: Sequence[Cell | None]) -> list[Cell | None]:
    """The cells of one column with the best mean marked, and those that cannot be told from it over seeds.

    A tie is a p-value of at least 0.05 in Welch's t-test; with one seed on either side nothing can be told, so nothing
    is marked. A column with one cell has no best.
    """
    cells = [cell for cell in column if cell is not None]
    if len(cells) < 2:
        return list(column)
    best = max(cells, key=lambda cell: cell.mean if cell.better == "higher" else -cell.mean)
    ties = within_noise([() if cell is None else cell.values for cell in column], best.values)
    pairs = zip(column, ties, strict=True)
    return [None if cell is None else replace(cell, mark=_mark(cell, best, tie)) for cell, tie in pairs]


def _mark(cell: Cell, best: Cell, tie: bool) -> Mark | None:
    return "best" if cell.mean == best.mean else "tie" if tie else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None and value == value]  # a frame's missing is NaN
    return fmean(known) if known else None
