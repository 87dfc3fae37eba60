"""A table: methods as rows, tasks as columns, every cell the runs of one method on one task over seeds.

The runs of one cell must be comparable: the same examples to train and to score on, the same checkpoint, the same
implementation of the metric. Where they are not, the table is refused with the names of the runs, never averaged.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Literal

import pandas as pd

from dsee_bench.config import CONF
from dsee_bench.record import Record
from dsee_bench.report.notes import notes
from dsee_bench.report.records import read_all
from dsee_bench.report.results import frame
from dsee_bench.report.rows import Variant, every_task, in_columns, matching, methods, show, variants
from dsee_bench.report.spec import Average, CostColumn, Published, ScoreColumn, TableSpec, read_spec, spec_paths
from dsee_bench.report.statistics import insignificant

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
COST_TEXTS = {  # how it is shown -> factor and pattern
    "count": (1, "{:,.0f}"),
    "percent": (100, "{:.1f} %"),
    "giga": (1e-9, "{:.2f} G"),
    "mega": (1e-6, "{:.1f} M"),
    "plain": (1, "{:.1f}"),
}
Result = Mapping[Any, Any]  # one score of one run: a line of the frame


@dataclass(frozen=True)
class Cell:
    """One value a seed, in the unit that is shown."""

    values: tuple[float, ...]
    seeds: tuple[int, ...]  # empty for an average over cells whose seeds differ
    digits: int
    better: Literal["higher", "lower"]
    costs: Mapping[str, float | None] = field(default_factory=dict)  # by name, the mean over the cell's runs
    mark: Literal["best", "tie"] | None = None

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


@dataclass(frozen=True)
class Row:
    backbone: str
    method: str  # as the table calls it
    label: str  # the method, and the settings that tell this row from others of it
    cells: tuple[Cell | None, ...]  # one a score column, then the average where the table has one
    costs: tuple[str | None, ...]  # one a cost column; "least–most" where the tasks differ (heads of 2 and 3 classes)
    checkpoint: str
    variant: Variant


@dataclass(frozen=True)
class Table:
    name: str
    spec: TableSpec
    columns: tuple[ScoreColumn, ...]
    rows: tuple[Row, ...]
    published: tuple[Published, ...]  # those with a number in one of the columns
    notes: tuple[str, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """The labels above the cells of a row: the columns', then the average's."""
        average = () if self.spec.average is None else (self.spec.average.label,)
        return (*(column.label for column in self.columns), *average)


@dataclass
class Report:
    """All records of a results folder and the tables that conf/table makes of them."""

    records: list[Record]
    left_out: list[str]  # why a record is in no table
    tables: list[Table] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)  # names of the tables in which no finished run belongs
    refused: list[str] = field(default_factory=list)  # why a table was refused


def report(results_dir: Path, names: Sequence[str] = ()) -> Report:
    """Build the named tables, or all; a refused table, which mixes what cannot be compared, does not stop the rest."""
    usable = read_all(results_dir)
    if not usable.records and not usable.left_out:
        raise ValueError(f"no record in {results_dir / 'runs'}; run an experiment first, or give --results DIR")
    result = Report(usable.records, usable.left_out)
    runs = frame(usable.records)
    for path in spec_paths(CONF / "table", list(names)):
        try:
            if table := build(runs, read_spec(path), path.stem):
                result.tables.append(table)
            else:
                result.empty.append(path.stem)
        except ValueError as error:
            result.refused.append(str(error))
    return result


def build(runs: pd.DataFrame, spec: TableSpec, name: str) -> Table | None:
    """Build the table that `spec` describes from the frame of all runs; None if no run belongs in it."""
    filtered = partial(matching, where=spec.filters or {}, user=f"filters of table {name}")
    columns = spec.columns if spec.columns is not None else every_task(filtered(runs), spec.split)
    runs = filtered(in_columns(runs, columns, spec.split))  # a setting that other tasks lack is no mistake
    columns = tuple(column for column in columns if column.label in set(runs["column"]))
    rows = list(_rows(runs, columns, spec, name))
    if not rows:
        return None
    used = pd.concat([row.variant.runs for row in rows])
    for label, part in used.groupby("column"):
        _refuse_mixed(part.to_dict("records"), f"column {label} of table {name}", ("sha256", "n", "unit"))
    labels = {column.label for column in columns}
    published = tuple(row for row in spec.published if labels & row.cells.keys())
    below = notes(used, {row.label: row.variant for row in rows}, columns, spec, published)
    return Table(name, spec, columns, tuple(_with_marks(rows)), published, tuple(below))


def _rows(runs: pd.DataFrame, columns: Sequence[ScoreColumn], spec: TableSpec, table: str) -> Iterator[Row]:
    for backbone in sorted(runs["backbone"].unique()):
        for method in methods(spec, runs):
            part = runs[(runs["backbone"] == backbone) & (runs["method"] == method.method)]
            part = matching(part, method.where or {}, f"row {method.label!r} of table {table}")
            for variant in variants(part) if len(part) else []:
                yield _row(backbone, method.label, variant, columns, spec, table)


def _row(
    backbone: str, method: str, variant: Variant, columns: Sequence[ScoreColumn], spec: TableSpec, table: str
) -> Row:
    label = f"{method} ({variant.label})" if variant.label else method
    by_column: dict[str, list[Result]] = defaultdict(list)
    for result in variant.runs.to_dict("records"):
        by_column[result["column"]].append(result)
    cells: list[Cell | None] = [
        _cell(by_column[column.label], column, spec, f"cell ({label}, {column.label}) of table {table}")
        for column in columns
    ]
    filled = [cell for cell in cells if cell is not None]
    costs = tuple(_range([cell.costs.get(column.cost) for cell in filled], column) for column in spec.costs)
    checkpoints = sorted({show(checkpoint) for checkpoint in variant.runs["checkpoint"]})
    if spec.average is not None:
        by_label = {column.label: cell for column, cell in zip(columns, cells, strict=True)}
        cells.append(_average(spec.average, by_label, spec.digits) if len(checkpoints) == 1 else None)
    return Row(backbone, method, label, tuple(cells), costs, " and ".join(checkpoints), variant)


def _cell(results: Sequence[Result], column: ScoreColumn, spec: TableSpec, place: str) -> Cell | None:
    """Average results over seeds; None if no run has a value, ValueError if they cannot be averaged."""
    _refuse_mixed(results, place, tuple(MUST_AGREE))
    scored = sorted((result for result in results if result["value"] is not None), key=lambda result: result["seed"])
    if not scored:
        return None
    seeds = tuple(result["seed"] for result in scored)
    if len(set(seeds)) < len(seeds):
        names = ", ".join(result["run_id"] for result in scored)
        raise ValueError(f"{place}: two runs of one seed, {names}; remove one of the records")
    factor = 100 if scored[0]["unit"] in PERCENT_UNITS else 1
    digits = spec.digits if column.digits is None else column.digits
    known = dict.fromkeys(name for result in scored for name in result["counts"])  # some seeds may be timed, others not
    costs = {name: _mean([result.get(name) for result in scored]) for name in known}
    return Cell(tuple(factor * result["value"] for result in scored), seeds, digits, scored[0]["better"], costs)


def _refuse_mixed(results: Sequence[Result], place: str, fields: Sequence[str]) -> None:
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


def _average(average: Average, cells: dict[str, Cell | None], digits: int) -> Cell | None:
    """Each seed's mean over the columns; the mean of means where the columns have different seeds."""
    chosen = [cell for label in average.over if (cell := cells.get(label)) is not None]
    if len(chosen) < len(average.over) or len({cell.better for cell in chosen}) > 1:
        return None
    better = chosen[0].better
    costs = {name: _mean([cell.costs.get(name) for cell in chosen]) for name in chosen[0].costs}
    if len({cell.seeds for cell in chosen}) > 1:
        return Cell((fmean(cell.mean for cell in chosen),), (), digits, better, costs)
    by_seed = zip(*(cell.values for cell in chosen), strict=True)
    return Cell(tuple(fmean(values) for values in by_seed), chosen[0].seeds, digits, better, costs)


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are known; None if none is."""
    known = [value for value in values if value is not None and value == value]  # the frame has NaN for missing
    return fmean(known) if known else None


def _with_marks(rows: list[Row]) -> Iterator[Row]:
    """The rows with best and ties marked, column by column among the rows of one backbone."""
    for backbone in dict.fromkeys(row.backbone for row in rows):
        block = [row for row in rows if row.backbone == backbone]
        columns = [_marked(column) for column in zip(*(row.cells for row in block), strict=True)]
        for row, cells in zip(block, zip(*columns, strict=True), strict=True):
            yield replace(row, cells=cells)


def _marked(column: Sequence[Cell | None]) -> list[Cell | None]:
    """Mark the best mean of a column, and the cells without a significant difference from it.

    With one seed on either side nothing is known, so nothing is marked. A column with one cell has no best.
    """
    cells = [cell for cell in column if cell is not None]
    if len(cells) < 2:
        return list(column)
    best = max(cells, key=lambda cell: cell.mean if cell.better == "higher" else -cell.mean)
    ties = insignificant([() if cell is None else cell.values for cell in column], best.values)
    return [
        None if cell is None else replace(cell, mark="best" if cell.mean == best.mean else "tie" if tie else None)
        for cell, tie in zip(column, ties, strict=True)
    ]


def _range(values: Iterable[float | None], column: CostColumn) -> str | None:
    known = sorted(value for value in values if value is not None)
    texts = [cost_text(value, column.show) for value in known[:1] + known[-1:]]
    return "–".join(dict.fromkeys(texts)) or None


def cost_text(value: float, how: str) -> str:
    """Return a cost as the column's `show` asks for it."""
    factor, pattern = COST_TEXTS[how]
    return pattern.format(factor * value)
