"""Which figures a table's YAML asks for: the name of each one's files, and in words what it shows."""

from collections.abc import Iterator
from dataclasses import dataclass

from dsee_bench.report.spec import Figure
from dsee_bench.report.tables import Row, Table
from dsee_bench.system.files import file_name

SHOWS = {
    "tradeoff": "Scores against the {label}. A point is a row of the table, its bar the standard deviation over seeds; "
    "on the grey line no other row is both cheaper and better. Rows of one cost stand side by side.",
    "curve": "Scores along the {label}. A line is a method, its band the standard deviation over seeds; a dotted line "
    "continues a method that has one point.",
    "dots": "Scores side by side. A large point is a row's mean with its standard deviation, a small one a seed.",
    "heatmap": "Where the zeros are: per cent of each kind of weight in each layer, the mean over tasks and seeds.",
    "times": "Time saved, measured, against FLOPs saved by the formula, one point for a shape of model. On the dashed "
    "line what is saved in FLOPs is saved in time.",
    "training": "Training on {task}: the loss above, the score during training below, a line a seed; dotted lines mark "
    "where stages begin.",
}


@dataclass(frozen=True)
class Planned:
    """One figure: of the rows of one backbone, and for the kind "training" of one task."""

    name: str  # of its files, without the ending
    figure: Figure
    rows: tuple[Row, ...]
    task: str | None
    caption: str


def planned(table: Table) -> Iterator[Planned]:
    """Yield every figure of the table in the order of its YAML; those that lack data are drawn by nobody."""
    for backbone in dict.fromkeys(row.backbone for row in table.rows):
        rows = tuple(row for row in table.rows if row.backbone == backbone)
        for figure in table.spec.figures:
            name = file_name(f"{table.name}-{figure.name}-{backbone}")
            tasks = dict.fromkeys(column.task for column in table.columns) if figure.kind == "training" else [None]
            for task in tasks:
                caption = f"{backbone}: {SHOWS[figure.kind].format(label=figure.label, task=task)}"
                yield Planned(file_name(f"{name}-{task}") if task else name, figure, rows, task, caption)
