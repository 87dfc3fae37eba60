"""The figures that a table's YAML asks for, one file each and backbone: `plots/<table>-<kind>-<cost>-<backbone>`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dsee_bench.record import Record
from dsee_bench.report.figures.scores import draw_scores
from dsee_bench.report.figures.sparsity import draw_heatmaps
from dsee_bench.report.figures.training import draw_training
from dsee_bench.report.tables import Row, Table
from dsee_bench.system.files import file_name


def draw(table: Table, read: Callable[[str], Record], folder: Path) -> Iterator[Path]:
    """Draw every figure of the table that has data, and yield the files written; `read` gives the record of a run."""
    for backbone in dict.fromkeys(row.backbone for row in table.rows):
        rows = [row for row in table.rows if row.backbone == backbone]
        for figure in table.spec.figures:
            path = folder / file_name(f"{table.name}-{figure.name}-{backbone}")
            if figure.kind == "heatmap":
                yield from draw_heatmaps(_records(rows, read), path)
            elif figure.kind == "training":
                for task in dict.fromkeys(column.task for column in table.columns):
                    of_task = {label: runs for label, runs in _records(rows, read, task).items() if runs}
                    if of_task:
                        yield from draw_training(of_task, folder / file_name(f"{path.name}-{task}"))
            else:
                yield from draw_scores(table, rows, figure, path)


def _records(rows: Sequence[Row], read: Callable[[str], Record], task: str | None = None) -> dict[str, list[Record]]:
    """The records of each row by its label, on one task or all."""
    records = {}
    for row in rows:
        runs = row.variant.runs if task is None else row.variant.runs[row.variant.runs["task"] == task]
        records[row.label] = [read(run_id) for run_id in sorted(set(runs["run_id"]))]
    return records
