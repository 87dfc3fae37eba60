"""Figures of scores: against a cost with the Pareto front, along a cost as curves, side by side as dots."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator, NullFormatter

from dsee_bench.report.costs import MASKED, is_theoretical
from dsee_bench.report.figures import labels
from dsee_bench.report.figures.figure import Ink, ink, panels
from dsee_bench.report.figures.labels import LINE
from dsee_bench.report.spec import Figure
from dsee_bench.report.tables import Row, Table

MARKER = 5.0  # points


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
    across, size = (3, (2.2, 0.5 + 0.15 * len(rows))) if figure.kind == "dots" else (2, _size(len(rows)))
    with panels(titles, across=across, size=size) as sheet:
        drawn = [kinds[figure.kind](axes, rows, place, figure) for axes, place in zip(sheet.axes, places, strict=True)]
        return sheet.save(path) if any(drawn) else []


def _size(names: int) -> tuple[float, float]:
    """Of a panel with a column of names, in inches."""
    return (3.6, max(2.1, 0.7 + names * LINE / 72))


def tradeoff(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Draw every row's score in column `place` against a cost, and the Pareto front; False if there is no point."""
    groups = [_with_word(row, figure) for row in rows]
    points = _points(rows, place, figure, groups)
    front = pareto(points)
    xs, ys = [point.x for point in front], [point.y for point in front]
    axes.step(xs, ys, where="post", color="0.6", linewidth=1, zorder=1, label="Pareto front")
    inks = _inks(groups)
    for point, shift in zip(points, _shifts(points, figure, _size(len(rows))), strict=True):
        _with_errors(axes, [point], point.group, inks[point.group], "", shift)
        labels.write(axes, point.group, point.x, point.y, inks[point.group].colour, shift)
    axes.set_xmargin(0.14)  # for those beside the cheapest and the dearest
    _cost_axis(axes, figure)
    return bool(points)


def curve(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Draw a line a method along a cost, its standard deviation as a band; a method with one point is a level."""
    points = _points(rows, place, figure, [row.method for row in rows])
    right = max((point.x for point in points), default=0.0)
    for group, look in _inks([row.method for row in rows]).items():
        line = sorted((point for point in points if point.group == group), key=lambda point: point.x)
        _with_errors(axes, line, group, look, look.line if len(line) > 1 else "")
        if len(line) == 1:
            axes.axhline(line[0].y, color=look.colour, linewidth=0.8, linestyle=":", zorder=1)
        elif line:
            low = [point.y - (point.spread or 0) for point in line]
            high = [point.y + (point.spread or 0) for point in line]
            axes.fill_between([point.x for point in line], low, high, color=look.colour, alpha=0.15, linewidth=0)
        if line:
            labels.write(axes, group, right if len(line) == 1 else line[-1].x, line[-1].y, look.colour)
    _cost_axis(axes, figure)
    return bool(points)


def dots(axes: Axes, rows: Sequence[Row], place: int, figure: Figure) -> bool:
    """Draw every seed as a small dot, the mean as a large one with its standard deviation; rows from top to bottom."""
    inks = _inks([row.label for row in rows])
    for height, row in enumerate(reversed(rows)):
        cell, look = row.cells[place], inks[row.label]
        if cell is not None:
            axes.plot(cell.values, [height] * len(cell.values), ".", color=look.colour, alpha=0.5, markersize=4)
            spread = cell.std or 0
            axes.errorbar(cell.mean, height, xerr=spread, fmt=look.marker, color=look.colour, markersize=5, capsize=2)
    position = axes.get_subplotspec()
    named = position is None or position.is_first_col()
    axes.set_yticks(range(len(rows)), [row.label if named else "" for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    return any(row.cells[place] is not None for row in rows)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other equals or beats in both cost (lower) and score, by cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.goodness)):
        if not front or point.goodness > front[-1].goodness:
            front.append(point)
    return front


def _points(rows: Sequence[Row], place: int, figure: Figure, groups: Sequence[str]) -> list[Point]:
    """A point for each row that has both the score and the cost; none at a cost of 0 on a logarithmic axis."""
    points = []
    for row, group in zip(rows, groups, strict=True):
        cell = row.cells[place]
        x = None if cell is None or figure.cost is None else cell.costs.get(figure.cost)
        if cell is not None and x is not None and (x > 0 or figure.scale != "log"):
            points.append(Point(group, x, cell.mean, cell.std, cell.better))
    return points


def _with_word(row: Row, figure: Figure) -> str:
    """The row's label; FLOPs that scattered zeros save are theoretical, and the legend says so."""
    masked = (cell.costs.get(MASKED) for cell in row.cells if cell is not None)
    word = any(is_theoretical(figure.cost or "", count) for count in masked)
    return f"{row.label}, theoretical" if word else row.label


def _inks(groups: Sequence[str]) -> dict[str, Ink]:
    return {group: ink(place) for place, group in enumerate(dict.fromkeys(groups))}


def _shifts(points: Sequence[Point], figure: Figure, size: tuple[float, float]) -> list[float]:
    """How far points of about one cost stand beside it, in points, where their bars or markers would touch."""
    if not points:
        return []
    scale = math.log if figure.scale == "log" else float
    xs = [scale(point.x) for point in points]
    marker = MARKER / (72 * (size[1] - 0.7)) * (max(_ends(points)) - min(_ends(points)))  # in units of the score
    bars = [
        (x, point.y - max(point.spread or 0, marker), point.y + max(point.spread or 0, marker))
        for x, point in zip(xs, points, strict=True)
    ]
    return labels.beside(bars, MARKER / (72 * size[0] / 2) * (max(xs) - min(xs)))


def _ends(points: Sequence[Point]) -> list[float]:
    return [point.y + sign * (point.spread or 0) for point in points for sign in (-1, 1)]


def _with_errors(axes: Axes, points: Sequence[Point], label: str, look: Ink, line: str, shift: float = 0.0) -> None:
    """Draw points with their standard deviation, `shift` points to the right of their cost."""
    if points:
        xs, ys, spreads = zip(*((point.x, point.y, point.spread or 0) for point in points), strict=True)
        style: dict[str, Any] = {"markersize": MARKER - 1, "linewidth": 1, "elinewidth": 0.8, "clip_on": False}
        if shift:
            style["transform"] = labels.shifted(axes, shift)
        line = line or "none"
        axes.errorbar(xs, ys, yerr=spreads, fmt=look.marker, linestyle=line, color=look.colour, label=label, **style)
        ends = [(x, y + sign * spread) for x, y, spread in zip(xs, ys, spreads, strict=True) for sign in (-1, 1)]
        axes.update_datalim(ends)  # matplotlib leaves out what is shifted
        axes.autoscale_view()


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
