"""Figures of scores: against a cost with the Pareto front, along a cost as curves, side by side as dots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from dsee_bench.report.cell import Cell
from dsee_bench.report.figures.figure import Ink, ink
from dsee_bench.report.spec import Figure
from dsee_bench.report.tables import Row


@dataclass(frozen=True)
class Point:
    """One cell against one of its costs; `group` is what its ink and its line stand for."""

    group: str
    x: float
    y: float
    spread: float | None
    better: Literal["higher", "lower"]


def tradeoff(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Every row's score in column `place` against a cost, and the Pareto front; False if there is nothing to draw."""
    points = [point for row in rows if (point := _point(row, place, figure, row.label)) is not None]
    front = pareto(points)
    axes.step(
        [p.x for p in front],
        [p.y for p in front],
        where="post",
        color="0.6",
        linewidth=1,
        zorder=1,
        label="Pareto front",
    )
    for group, look in _inks([row.label for row in rows]).items():
        _with_errors(axes, [point for point in points if point.group == group], group, look, "")
    _cost_axis(axes, figure)
    return bool(points)


def curve(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """A line a method along a cost, its standard deviation as a band; a method with one point is a level."""
    points = [point for row in rows if (point := _point(row, place, figure, row.method)) is not None]
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
    """Every seed a small dot, the mean a large one with its standard deviation; rows from top to bottom."""
    had = [(row, cell) for row in rows if (cell := row.cells[place]) is not None]
    for height, (row, cell) in enumerate(reversed(had)):
        look = _inks([row.label for row in rows])[row.label]
        axes.plot(cell.values, [height] * len(cell.values), ".", color=look.colour, alpha=0.5, markersize=4)
        axes.errorbar(
            cell.mean, height, xerr=cell.std or 0, fmt=look.marker, color=look.colour, markersize=5, capsize=2
        )
    axes.set_yticks(range(len(had)), [row.label for row, _ in reversed(had)])
    axes.set_ylim(-0.6, len(had) - 0.4)
    return bool(had)


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other equals or beats in both cost (lower) and score, by cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -_goodness(point))):
        if not front or _goodness(point) > _goodness(front[-1]):
            front.append(point)
    return front


def _goodness(point: Point) -> float:
    return point.y if point.better == "higher" else -point.y


def _point(row: Row, place: int, figure: Figure, group: str) -> Point | None:
    cell: Cell | None = row.cells[place]
    x = None if cell is None or figure.cost is None else cell.costs.get(figure.cost)
    return None if cell is None or x is None else Point(group, x, cell.mean, cell.std, cell.better)


def _inks(groups: Sequence[str]) -> dict[str, Ink]:
    return {group: ink(place) for place, group in enumerate(dict.fromkeys(groups))}


def _with_errors(axes: Axes, points: Sequence[Point], label: str, look: Ink, line: str) -> None:
    if points:
        axes.errorbar(
            [point.x for point in points],
            [point.y for point in points],
            yerr=[point.spread or 0 for point in points],
            fmt=look.marker,
            linestyle=line or "none",
            color=look.colour,
            label=label,
            markersize=4.5,
            linewidth=1,
            elinewidth=0.8,
            capsize=1.5,
        )


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
