"""Figures of scores: against a cost with the Pareto front, along a cost as curves, side by side as dots."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from dsee_bench.report.costs import is_theoretical
from dsee_bench.report.figures.figure import PANEL, Ink, ink, panels
from dsee_bench.report.spec import Figure
from dsee_bench.report.tables import Row, Table


@dataclass(frozen=True)
class Point:
    """One cell against one of its costs; its ink and its line stand for `group`."""

    group: str
    x: float
    y: float
    spread: float | None
    better: Literal["higher", "lower"]

    @property
    def goodness(self) -> float:
        return self.y if self.better == "higher" else -self.y


def draw_scores(table: Table, rows: Sequence[Row], figure: Figure, path: Path) -> list[Path]:
    """Draw a panel for each column, and for the average, in which some row has a cell."""
    kinds: dict[str, Callable[..., bool]] = {"tradeoff": tradeoff, "curve": curve, "dots": dots}
    places = [place for place in range(len(table.headings)) if any(row.cells[place] for row in rows)]
    titles = [table.headings[place] for place in places]
    size = (3.4, 0.5 + 0.22 * len(rows)) if figure.kind == "dots" else PANEL
    with panels(titles, across=2 if figure.kind == "dots" else 3, size=size) as sheet:
        drawn = [kinds[figure.kind](axes, rows, place, figure) for axes, place in zip(sheet.axes, places, strict=True)]
        sheet.legend()
        return sheet.save(path) if any(drawn) else []


def tradeoff(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Draw every row's score in column `place` against a cost, and the Pareto front; False if there is no point."""
    groups = [_with_word(row, figure) for row in rows]
    points = _points(rows, place, figure, groups)
    front = pareto(points)
    xs, ys = [point.x for point in front], [point.y for point in front]
    axes.step(xs, ys, where="post", color="0.6", linewidth=1, zorder=1, label="Pareto front")
    for group, look in _inks(groups).items():
        _with_errors(axes, [point for point in points if point.group == group], group, look, "")
    _cost_axis(axes, figure)
    return bool(points)


def curve(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Draw a line a method along a cost, its standard deviation as a band; a method with one point is a level."""
    points = _points(rows, place, figure, [row.method for row in rows])
    for group, look in _inks([row.method for row in rows]).items():
        line = sorted((point for point in points if point.group == group), key=lambda point: point.x)
        _with_errors(axes, line, group, look, look.line if len(line) > 1 else "")
        if len(line) == 1:
            axes.axhline(line[0].y, color=look.colour, linewidth=0.8, linestyle=":", zorder=1)
        elif line:
            low = [point.y - (point.spread or 0) for point in line]
            high = [point.y + (point.spread or 0) for point in line]
            axes.fill_between([point.x for point in line], low, high, color=look.colour, alpha=0.15, linewidth=0)
    _cost_axis(axes, figure)
    return bool(points)


def dots(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Draw every seed as a small dot, the mean as a large one with its standard deviation; rows from top to bottom."""
    filled = [(row, cell) for row in reversed(rows) if (cell := row.cells[place]) is not None]
    inks = _inks([row.label for row in rows])
    for height, (row, cell) in enumerate(filled):
        look = inks[row.label]
        axes.plot(cell.values, [height] * len(cell.values), ".", color=look.colour, alpha=0.5, markersize=4)
        axes.errorbar(
            cell.mean, height, xerr=cell.std or 0, fmt=look.marker, color=look.colour, markersize=5, capsize=2
        )
    axes.set_yticks(range(len(filled)), [row.label for row, _ in filled])
    axes.set_ylim(-0.6, len(filled) - 0.4)
    return bool(filled)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other equals or beats in both cost (lower) and score, by cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.goodness)):
        if not front or point.goodness > front[-1].goodness:
            front.append(point)
    return front


def _points(rows: Sequence[Row], place: int, figure: Figure, groups: Sequence[str]) -> list[Point]:
    """A point for each row that has both the score and the cost."""
    points = []
    for row, group in zip(rows, groups, strict=True):
        cell = row.cells[place]
        x = None if cell is None or figure.cost is None else cell.costs.get(figure.cost)
        if cell is not None and x is not None:
            points.append(Point(group, x, cell.mean, cell.std, cell.better))
    return points


def _with_word(row: Row, figure: Figure) -> str:
    """The row's label; FLOPs that scattered zeros save are theoretical, and the legend says so."""
    sparsity = (cell.costs.get("sparsity_masked") for cell in row.cells if cell is not None)
    word = any(is_theoretical(figure.cost or "", share) for share in sparsity)
    return f"{row.label}, theoretical" if word else row.label


def _inks(groups: Sequence[str]) -> dict[str, Ink]:
    return {group: ink(place) for place, group in enumerate(dict.fromkeys(groups))}


def _with_errors(axes: Axes, points: Sequence[Point], label: str, look: Ink, line: str) -> None:
    if points:
        xs, ys, spreads = zip(*((point.x, point.y, point.spread or 0) for point in points), strict=True)
        style: dict[str, Any] = {"markersize": 4.5, "linewidth": 1, "elinewidth": 0.8, "capsize": 1.5}
        line = line or "none"
        axes.errorbar(xs, ys, yerr=spreads, fmt=look.marker, linestyle=line, color=look.colour, label=label, **style)


def _cost_axis(axes: Axes, figure: Figure) -> None:
    axes.set_xscale(figure.scale or "linear")
    axes.set_xlabel(figure.label or "")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if figure.scale == "log":
        axes.xaxis.set_minor_formatter(NullFormatter())
        return
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))  # more would run into each other
    if axes.get_xlim()[1] > 1e6:
        axes.xaxis.set_major_formatter(EngFormatter())  # 2.5 G, where matplotlib would set 1e9 in the corner
