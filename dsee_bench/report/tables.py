"""A table: methods as rows, tasks as columns, every cell the runs of one method on one task over seeds.

What stands in one cell must be comparable: the same rows to train and to score on, the same checkpoint, the same
implementation of the metric. Where it is not, the table is refused with the names of the runs, never averaged.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import pandas as pd

from dsee_bench.report.cell import Cell, Line, cell_of, marked, mean_of, refuse_mixed
from dsee_bench.report.notes import notes
from dsee_bench.report.select import every_task, in_columns, matching, method_rows
from dsee_bench.report.spec import Average, CostColumn, Published, ScoreColumn, TableSpec
from dsee_bench.report.variants import Variant, show, variants


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
    def heads(self) -> tuple[str, ...]:
        """Above the cells of a row: the columns' labels, then the average's."""
        average = () if self.spec.average is None else (self.spec.average.label,)
        return (*(column.label for column in self.columns), *average)


def build(runs: pd.DataFrame, spec: TableSpec, name: str) -> Table | None:
    """The table `spec` describes from the frame of all runs; None if no run belongs in it."""
    filtered = partial(matching, where=spec.filters or {}, who=f"filters of table {name}")
    columns = spec.columns if spec.columns is not None else every_task(filtered(runs), spec.split)
    runs = filtered(in_columns(runs, columns, spec.split))  # a setting that other tasks lack is no mistake
    columns = tuple(column for column in columns if column.label in set(runs["column"]))
    rows = list(_rows(runs, columns, spec, name))
    if not rows:
        return None
    used = pd.concat([row.variant.runs for row in rows])
    for label, part in used.groupby("column"):
        refuse_mixed(part.to_dict("records"), f"column {label} of table {name}", ("sha256", "n", "unit"))
    shown = {column.label for column in columns}
    published = tuple(row for row in spec.published if shown & row.cells.keys())
    below = notes(used, {row.label: row.variant for row in rows}, columns, spec, published)
    return Table(name, spec, columns, tuple(_with_marks(rows)), published, tuple(below))


def _rows(runs: pd.DataFrame, columns: Sequence[ScoreColumn], spec: TableSpec, table: str) -> Iterator[Row]:
    for backbone in sorted(runs["backbone"].unique()):
        for method in method_rows(spec, runs):
            part = runs[(runs["backbone"] == backbone) & (runs["method"] == method.method)]
            part = matching(part, method.where or {}, f"row {method.label!r} of table {table}")
            for variant in variants(part) if len(part) else []:
                yield _row(backbone, method.label, variant, columns, spec, table)


def _row(
    backbone: str, method: str, variant: Variant, columns: Sequence[ScoreColumn], spec: TableSpec, table: str
) -> Row:
    label = f"{method} ({variant.label})" if variant.label else method
    parts: dict[str, list[Line]] = defaultdict(list)
    for line in variant.runs.to_dict("records"):
        parts[line["column"]].append(line)
    cells: list[Cell | None] = [
        cell_of(parts[column.label], column, spec, f"cell ({label}, {column.label}) of table {table}")
        for column in columns
    ]
    had = [cell for cell in cells if cell is not None]
    costs = tuple(_range([cell.costs.get(column.cost) for cell in had], column) for column in spec.costs)
    checkpoints = sorted({show(checkpoint) for checkpoint in variant.runs["checkpoint"]})
    if spec.average is not None:
        named = {column.label: cell for column, cell in zip(columns, cells, strict=True)}
        cells.append(_average(spec.average, named, spec.digits) if len(checkpoints) == 1 else None)
    return Row(backbone, method, label, tuple(cells), costs, " and ".join(checkpoints), variant)


def _average(average: Average, cells: dict[str, Cell | None], digits: int) -> Cell | None:
    """Each seed's mean over the columns; the mean of means where the columns have different seeds."""
    chosen = [cell for label in average.over if (cell := cells.get(label)) is not None]
    if len(chosen) < len(average.over) or len({cell.better for cell in chosen}) > 1:
        return None
    better = chosen[0].better
    costs = {name: mean_of([cell.costs.get(name) for cell in chosen]) for name in chosen[0].costs}
    if len({cell.seeds for cell in chosen}) > 1:
        return Cell((fmean(cell.mean for cell in chosen),), (), digits, better, costs)
    by_seed = zip(*(cell.values for cell in chosen), strict=True)
    return Cell(tuple(fmean(values) for values in by_seed), chosen[0].seeds, digits, better, costs)


def _with_marks(rows: list[Row]) -> Iterator[Row]:
    """The rows with best and ties marked, column by column among the rows of one backbone."""
    for backbone in dict.fromkeys(row.backbone for row in rows):
        block = [row for row in rows if row.backbone == backbone]
        columns = [marked(column) for column in zip(*(row.cells for row in block), strict=True)]
        for row, cells in zip(block, zip(*columns, strict=True), strict=True):
            yield replace(row, cells=cells)


def _range(values: Iterable[float | None], column: CostColumn) -> str | None:
    known = sorted(value for value in values if value is not None)
    shown = [cost_text(value, column.show) for value in known[:1] + known[-1:]]
    return "–".join(dict.fromkeys(shown)) or None


def cost_text(value: float, how: str) -> str:
    """A cost as the column's `show` asks for it."""
    match how:
        case "count":
            return f"{value:,.0f}"
        case "percent":
            return f"{100 * value:.1f} %"
        case "giga":
            return f"{value / 1e9:.2f} G"
        case "mega":
            return f"{value / 1e6:.1f} M"
        case _:
            return f"{value:.1f}"
