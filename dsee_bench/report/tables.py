"""A table: methods as rows, tasks as columns, every cell the runs of one method on one task over seeds.

The runs of one cell must be comparable: the same examples to train and to score on, the same checkpoint, the same
implementation of the metric. Where they are not, the table is refused with the names of the runs, never averaged.
"""

import gc
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dsee_bench.config import CONF
from dsee_bench.record import Record
from dsee_bench.report.cells import MAJORITY, Cell, Result, average_of, cell_of, chances, marked, refuse_mixed
from dsee_bench.report.costs import texts, with_pooled_times
from dsee_bench.report.engines import on_engines
from dsee_bench.report.notes import notes
from dsee_bench.report.records import read_all
from dsee_bench.report.results import frame
from dsee_bench.report.rows import Variant, every_task, in_columns, matching, methods, show, variants
from dsee_bench.report.spec import Average, Published, ScoreColumn, TableSpec, read_spec, spec_paths

SELECTIONS = {  # train.select_on -> in the title of a table
    "dev": "checkpoints chosen on dev",
    "validation": "checkpoints chosen on rows held out of train",
    "last": "last checkpoints",
}


@dataclass(frozen=True)
class Row:
    backbone: str
    method: str  # as the table calls it
    label: str  # the method, and the settings that tell this row from others of it
    cells: tuple[Cell | None, ...]  # one a score column, then one an average
    costs: tuple[str | None, ...]  # one a cost column; "least–most" where the tasks differ (heads of 2 and 3 classes)
    checkpoint: str
    variant: Variant


@dataclass(frozen=True)
class Table:
    name: str
    spec: TableSpec
    columns: tuple[ScoreColumn, ...]
    averages: tuple[Average, ...]  # the spec's, and the same without the tasks at chance
    rows: tuple[Row, ...]
    published: tuple[Published, ...]  # those with a number in one of the columns
    notes: tuple[str, ...]

    @property
    def headings(self) -> tuple[str, ...]:
        """The labels above the cells of a row: the columns', then the averages'."""
        return (*(column.label for column in self.columns), *(average.label for average in self.averages))


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
    measured = frame(on_engines(usable.records))
    for path in spec_paths(CONF / "table", list(names)):
        gc.freeze()  # statsmodels collects garbage at each correction, and would look at every record each time
        try:
            spec = read_spec(path)
            made = by_selection(measured if spec.engines else runs, spec, path.stem)
            result.tables += made
            result.empty += [] if made else [path.stem]
        except ValueError as error:
            result.refused.append(str(error))
    gc.unfreeze()
    return result


def by_selection(runs: pd.DataFrame, spec: TableSpec, name: str) -> list[Table]:
    """Return the table, and one each of the runs whose checkpoints were chosen on other rows than its `select_on`.

    What was never tuned stands in all of them, and in one of its own where nothing else was.
    """
    pairs = zip(runs["checkpoint"], runs["settings"], strict=True)
    ways = pd.Series([_selection(checkpoint, settings) for checkpoint, settings in pairs], runs.index, object)
    tables = []
    for way, title in sorted(SELECTIONS.items(), key=lambda pair: pair[0] != spec.select_on):
        own = way == spec.select_on
        part = build(
            runs[(ways == way) | ways.isna()],
            spec if own else replace(spec, title=f"{spec.title}; {title}"),
            name if own else f"{name}-{way}",
        )
        if part is not None:
            tables.append(part)
    tuned = [table for table in tables if any(row.checkpoint != show(None) for row in table.rows)]
    return tuned or tables[:1]


def _selection(checkpoint: str | None, settings: Mapping[str, Any]) -> str | None:
    """The rows that chose a run's checkpoint (train.select_on); None for a model that was never tuned."""
    return None if checkpoint is None else str(settings.get("train.select_on", checkpoint.rpartition(" ")[2]))


def build(runs: pd.DataFrame, spec: TableSpec, name: str) -> Table | None:
    """Build the table that `spec` describes from the frame of all runs; None if no run belongs in it."""
    filtered = partial(matching, where=spec.filters or {}, user=f"filters of table {name}")
    columns = spec.columns if spec.columns is not None else every_task(filtered(runs), spec.split)
    runs = filtered(in_columns(runs, columns, spec.split))  # a setting that other tasks lack is no mistake
    columns = tuple(column for column in columns if column.label in set(runs["column"]))
    rows = list(_rows(runs, columns, spec, name))
    if not rows:
        return None
    averages = _averages(rows, columns, spec)
    rows = [_with_averages(row, columns, averages, spec.digits) for row in rows]
    used = pd.concat([row.variant.runs for row in rows])
    for label, part in used.groupby("column"):
        agree = ("sha256", "n", "unit")
        refuse_mixed(part[["run_id", *agree]].to_dict("records"), f"column {label} of table {name}", agree)
    labels = {column.label for column in columns}
    published = tuple(row for row in spec.published if labels & row.cells.keys())
    below = notes(used, _by_name(rows), columns, spec, averages, published)
    return Table(name, spec, columns, averages, tuple(_with_marks(rows)), published, tuple(below))


def _by_name(rows: Sequence[Row]) -> dict[str, Variant]:
    """Return what stands in each row by its label; by backbone and label where several backbones have the label."""
    often = Counter(row.label for row in rows)
    return {row.label if often[row.label] == 1 else f"{row.backbone} {row.label}": row.variant for row in rows}


def _rows(runs: pd.DataFrame, columns: Sequence[ScoreColumn], spec: TableSpec, table: str) -> Iterator[Row]:
    chance = chances(runs[runs["method"] == MAJORITY].to_dict("records"))
    for backbone in sorted(runs["backbone"].unique()):
        for method in methods(spec, runs):
            part = runs[(runs["backbone"] == backbone) & (runs["method"] == method.method)]
            part = matching(part, method.where or {}, f"row {method.label!r} of table {table}")
            for variant in variants(part) if len(part) else []:
                label = f"{method.label} ({variant.label})" if variant.label else method.label
                cells = _cells(variant, columns, spec, chance, (label, table))
                costs = tuple(texts([cell.costs for cell in cells if cell is not None], spec.costs))
                checkpoints = sorted({show(checkpoint) for checkpoint in variant.runs["checkpoint"]})
                yield Row(backbone, method.label, label, cells, costs, " and ".join(checkpoints), variant)


def _cells(
    variant: Variant, columns: Sequence[ScoreColumn], spec: TableSpec, chance: dict[Any, float], names: tuple[str, str]
) -> tuple[Cell | None, ...]:
    """Return the cells of a row; `names` are those of the row and the table, for errors."""
    row, table = names
    by_column: dict[str, list[Result]] = defaultdict(list)
    for result in with_pooled_times(variant.runs).to_dict("records"):
        by_column[result["column"]].append(result)
    cells = []
    for column in columns:
        results = by_column[column.label]
        digits = spec.digits if column.digits is None else column.digits
        first = results[0] if results else {}
        key = tuple(first.get(name) for name in ("task", "split", "sha256"))
        guess = chance.get(key) if column.score == "accuracy" and first.get("method") != MAJORITY else None
        cells.append(cell_of(results, digits, f"cell ({row}, {column.label}) of table {table}", guess))
    return tuple(cells)


def _averages(rows: Sequence[Row], columns: Sequence[ScoreColumn], spec: TableSpec) -> tuple[Average, ...]:
    """The table's average, and the same without the columns in which most rows are no better than a guess."""
    if spec.average is None:
        return ()
    at_chance = []
    for place, column in enumerate(columns):
        cells = [cell for row in rows if (cell := row.cells[place]) and row.variant.method != MAJORITY]
        if column.label in spec.average.over and sum(cell.at_chance for cell in cells) > len(cells) / 2:
            at_chance.append(column.label)
    left = tuple(label for label in spec.average.over if label not in at_chance)
    without = Average(f"{spec.average.label} without {', '.join(at_chance)}", left)
    return (spec.average, without) if at_chance and left else (spec.average,)


def _with_averages(row: Row, columns: Sequence[ScoreColumn], averages: Sequence[Average], digits: int) -> Row:
    by_label = {column.label: cell for column, cell in zip(columns, row.cells, strict=True)}
    more = (average_of([by_label.get(label) for label in average.over], digits) for average in averages)
    return replace(row, cells=(*row.cells, *more))


def _with_marks(rows: list[Row]) -> Iterator[Row]:
    """The rows with best and ties marked, column by column among the rows of one backbone."""
    for backbone in dict.fromkeys(row.backbone for row in rows):
        block = [row for row in rows if row.backbone == backbone]
        columns = [marked(column) for column in zip(*(row.cells for row in block), strict=True)]
        for row, cells in zip(block, zip(*columns, strict=True), strict=True):
            yield replace(row, cells=cells)
