"""The figures that a table's YAML asks for, one file each and backbone: `plots/<table>-<kind>-<cost>-<backbone>`."""

from collections.abc import Callable, Iterator
from pathlib import Path

from dsee_bench.record import Record
from dsee_bench.report.figures.planned import Planned, planned
from dsee_bench.report.figures.scores import draw_scores
from dsee_bench.report.figures.sparsity import draw_heatmaps
from dsee_bench.report.figures.times import draw_times
from dsee_bench.report.figures.training import draw_training, trained
from dsee_bench.report.tables import Table


def draw(table: Table, read: Callable[[str], Record], folder: Path) -> Iterator[Path]:
    """Draw every figure of the table that has data, and yield the files written; `read` gives the record of a run."""
    for plan in planned(table):
        path = folder / plan.name
        match plan.figure.kind:
            case "heatmap":
                yield from draw_heatmaps(_records(plan, read), path)
            case "training":
                of_task = {label: runs for label, runs in _records(plan, read).items() if any(map(trained, runs))}
                yield from draw_training(of_task, path) if of_task else ()
            case "times":
                yield from draw_times(plan.rows, table.spec.title, path)
            case _:
                yield from draw_scores(table, plan.rows, plan.figure, path)


def _records(plan: Planned, read: Callable[[str], Record]) -> dict[str, list[Record]]:
    """The records of each row by its label, on the figure's task or all."""
    records = {}
    for row in plan.rows:
        runs = row.variant.runs if plan.task is None else row.variant.runs[row.variant.runs["task"] == plan.task]
        records[row.label] = [read(run_id) for run_id in sorted(set(runs["run_id"]))]
    return records
