"""The figures that a table's YAML asks for, one file each and backbone: `plots/<table>-<kind>-<cost>-<backbone>`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from dsee_bench.record import Record
from dsee_bench.report.figures.figure import PANEL, panels
from dsee_bench.report.figures.targets import grid, heatmap, mean_by_site
from dsee_bench.report.figures.tradeoff import curve, dots, tradeoff
from dsee_bench.report.figures.training import training
from dsee_bench.report.spec import Figure
from dsee_bench.report.tables import Row, Table
from dsee_bench.system.files import file_name

TRAINING_ACROSS = 4  # methods side by side
SCORES: dict[str, Callable[[Axes, Sequence[Row], int, Figure], bool]] = {
    "tradeoff": tradeoff,
    "curve": curve,
    "dots": dots,
}


def draw(table: Table, records: Sequence[Record], folder: Path) -> Iterator[Path]:
    """Draw and save every figure of the table for which there is data; yields the files written."""
    by_id = {record.run_id: record for record in records}
    for backbone in dict.fromkeys(row.backbone for row in table.rows):
        rows = [row for row in table.rows if row.backbone == backbone]
        for figure in table.spec.figures:
            path = folder / file_name(f"{table.name}-{figure.name}-{backbone}")
            if figure.kind in SCORES:
                yield from _scores(table, rows, figure, path)
            elif figure.kind == "heatmap":
                yield from _heatmaps(rows, by_id, path)
            else:
                yield from _training(table, rows, by_id, path)


def _scores(table: Table, rows: Sequence[Row], figure: Figure, path: Path) -> list[Path]:
    """A panel for each column, and for the average, in which some row has a cell."""
    places = [place for place in range(len(table.heads)) if any(row.cells[place] for row in rows)]
    titles = [table.heads[place] for place in places]
    size = (3.4, 0.5 + 0.22 * len(rows)) if figure.kind == "dots" else PANEL
    with panels(titles, across=2 if figure.kind == "dots" else 3, size=size) as sheet:
        pairs = zip(sheet.axes, places, strict=True)
        drawn = [SCORES[figure.kind](each, rows, place, figure) for each, place in pairs]
        sheet.legend()
        return sheet.save(path) if any(drawn) else []


def _heatmaps(rows: Sequence[Row], by_id: dict[str, Record], path: Path) -> list[Path]:
    """A panel for each row whose runs zeroed single weights: the mean over its tasks and seeds."""
    found = {row.label: mean_by_site([by_id[run] for run in sorted(set(row.variant.runs["run_id"]))]) for row in rows}
    maps = {label: by_site for label, by_site in found.items() if by_site is not None}
    if not maps:
        return []
    darkest = max(share for by_site in maps.values() for share in by_site.values())
    layers = max(len(grid(by_site).layers) for by_site in maps.values())
    with panels(list(maps), across=2, size=(3.2, 0.8 + 0.14 * layers)) as sheet:
        for each, by_site in zip(sheet.axes, maps.values(), strict=True):
            heatmap(each, by_site, darkest)
        return sheet.save(path)


def _training(table: Table, rows: Sequence[Row], by_id: dict[str, Record], path: Path) -> Iterator[Path]:
    """A figure a task: loss above dev score, a column a row of the table, a line a seed."""
    for task in dict.fromkeys(column.task for column in table.columns):
        runs = {row.label: row.variant.runs for row in rows}
        chosen = {label: sorted(set(part.loc[part["task"] == task, "run_id"])) for label, part in runs.items()}
        labels = [label for label, names in chosen.items() if names]
        if not labels:
            continue
        across = min(len(labels), TRAINING_ACROSS)
        titles = [
            title for start in range(0, len(labels), across) for title in _two_rows(labels[start:][:across], across)
        ]
        with panels(titles, across=across, size=(2.0, 1.5)) as sheet:
            pairs = list(_pairs(sheet.axes, across))
            for unused in pairs[len(labels) :]:
                for axes in unused:
                    axes.remove()
            pairs = pairs[: len(labels)]
            drawn = [
                training(pair, [by_id[run] for run in chosen[label]]) for pair, label in zip(pairs, labels, strict=True)
            ]
            for same in zip(*pairs, strict=True):
                _share_height(same)
            sheet.legend()
            yield from sheet.save(path.with_name(file_name(f"{path.name}-{task}"))) if any(drawn) else []


def _two_rows(labels: Sequence[str], across: int) -> list[str]:
    """The titles of a row of losses and of the row of dev scores below it."""
    return [*labels, *[""] * (across - len(labels)), *[""] * across]


def _pairs(axes: Sequence[Axes], across: int) -> Iterator[tuple[Axes, Axes]]:
    """(loss, dev) for each column of each two rows."""
    for start in range(0, len(axes), 2 * across):
        yield from zip(axes[start:][:across], axes[start + across :][:across], strict=True)


def _share_height(axes: Sequence[Axes]) -> None:
    limits = [each.get_ylim() for each in axes]
    for each in axes:
        each.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
