"""Names beside points and lines in place of a legend: a column right of the panel, with a thin line to each point.

Points of about the same cost whose bars would cover each other are drawn side by side.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation
from matplotlib.transforms import ScaledTranslation, Transform
from scipy.optimize import isotonic_regression

LETTERS = 6.0  # points: the size of a name
LINE = 7.4  # points from one name to the next
COLUMN = 12.0  # points from the panel to the names
DARK = 0.75  # of a row's colour in its name, so that light ones can be read
BESIDE = 5.0  # points between two that are drawn side by side


def shifted(axes: Axes, points: float) -> Transform:
    """Return the axes' coordinates of data, moved to the right by so many points."""
    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def write(axes: Axes, text: str, x: float, y: float, colour: str, shift: float = 0.0) -> None:
    """Write a name right of the panel for the point (x, y) of the data, which is drawn `shift` points beside it."""
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "alpha": 0.6, "shrinkA": 0, "shrinkB": 2.5}
    column = axes.transAxes + ScaledTranslation(COLUMN / 72, 0, axes.figure.dpi_scale_trans)
    axes.annotate(
        text, (x, y), (1.0, 0.5), xycoords=shifted(axes, shift), textcoords=column, va="center", annotation_clip=False,
        fontsize=LETTERS, color=tuple(DARK * part for part in to_rgb(colour)), arrowprops=line | {"relpos": (0, 0.5)},
    )  # fmt: skip


def names(axes: Axes) -> list[Annotation]:
    """Return the names that were written beside a panel."""
    return [text for text in axes.texts if isinstance(text, Annotation) and text.arrow_patch is not None]


def arrange(axes: Axes) -> None:
    """Move the names of a panel, once it has its size, to the heights of their points, apart from each other."""
    written = names(axes)
    if not written:
        return
    height = axes.get_window_extent().height * 72 / axes.figure.dpi
    heights = [axes.transAxes.inverted().transform(axes.transData.transform(name.xy))[1] for name in written]
    for name, at in zip(written, spread(heights, LINE / height), strict=True):
        name.set_position((1.0, at))


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Return the places nearest to `heights` that keep their order, at least `gap` apart and between 0 and 1.

    Where they need more than that they go beyond both ends alike. Least squares: isotonic regression of the heights
    less what the gaps below take.
    """
    order = np.argsort(heights, kind="stable")
    below = gap * np.arange(len(heights))
    free = isotonic_regression(np.asarray(heights, float)[order] - below).x
    beyond = max(0.0, below[-1] - 1) / 2
    places = np.clip(free, -beyond, max(1 - below[-1], -beyond)) + below
    return [float(place) for place in places[np.argsort(order, kind="stable")]]


def beside(bars: Sequence[tuple[float, float, float]], near: float) -> list[float]:
    """Return how far each bar (x, low, high) is moved sideways, in points, so that none covers another.

    Bars at most `near` apart in x form a group. In it each takes the first lane whose bars it does not touch, and the
    lanes lie around the middle.
    """
    shifts = [0.0] * len(bars)
    for group in _groups(bars, near):
        lanes: list[list[int]] = []
        for place in sorted(group, key=lambda place: bars[place][1]):
            free = (lane for lane in lanes if bars[lane[-1]][2] < bars[place][1])
            lane = next(free, None)
            if lane is None:
                lanes.append([place])
            else:
                lane.append(place)
        for number, lane in enumerate(lanes):
            for place in lane:
                shifts[place] = BESIDE * (number - (len(lanes) - 1) / 2)
    return shifts


def _groups(bars: Sequence[tuple[float, float, float]], near: float) -> list[list[int]]:
    groups: list[list[int]] = []
    for place in sorted(range(len(bars)), key=lambda place: bars[place][0]):
        if groups and bars[place][0] - bars[groups[-1][-1]][0] <= near:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups
