"""The look of all figures, and how they are saved: the same data gives the same bytes.

Okabe and Ito's colours are distinct for colour-blind readers and in grey print; each row also has its own marker.
"""

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dsee_bench.report.figures import labels
from dsee_bench.system.files import write_atomically

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008, no yellow
MARKERS = "os^DvPX*<>"
LINES = ("-", "--", "-.", ":")
PANEL = (2.4, 2.1)  # inches
COLOURS_KEPT = 128  # of a PNG
LETTERS = 11  # of a title, on an inch of a panel
LOOK = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,  # inches; letters are a little wider in SVG than in PNG
    "figure.dpi": 300,  # print
    "font.size": 8,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "svg.hashsalt": "dsee-bench",
}


@dataclass(frozen=True)
class Ink:
    """One row's colour, marker and line."""

    colour: str
    marker: str
    line: str


def ink(place: int) -> Ink:
    """Return the ink of the row at `place`; no two of the first 70 are alike."""
    return Ink(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], LINES[place // len(COLOURS) % len(LINES)])


@contextmanager
def panels(titles: Sequence[str], *, across: int = 3, size: tuple[float, float] = PANEL) -> Iterator["Sheet"]:
    """Open a sheet with a panel a title, `across` of them in a row; save it inside the context, which sets its look."""
    columns = min(across, len(titles))
    rows = -(-len(titles) // columns)
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(max(size[0] * columns, 4.0), size[1] * rows + 0.7))
        letters = int(LETTERS * size[0])
        axes = [
            figure.add_subplot(rows, columns, place + 1, title=textwrap.fill(title, letters))
            for place, title in enumerate(titles)
        ]
        yield Sheet(figure, axes)


@dataclass(frozen=True)
class Sheet:
    """A figure and its panels."""

    figure: Figure
    axes: list[Axes]

    def legend(self) -> None:
        """Add one legend below all panels, each label once."""
        by_label: dict[str, Any] = {}
        for axes in self.axes:
            handles, labels = axes.get_legend_handles_labels()
            by_label |= dict(zip(labels, handles, strict=True))
        if by_label:
            self.figure.legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=2)

    def save(self, path: Path) -> list[Path]:
        """Write `path`.svg and `path`.png, without a date in them."""
        if any(map(labels.names, self.axes)):
            for _ in range(2):  # names are arranged by the sizes of the panels, and these leave room for the names
                self.figure.draw_without_rendering()
                for axes in self.axes:
                    labels.arrange(axes)
            self.figure.set_layout_engine("none")
        images: dict[Path, io.BytesIO] = {}
        for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            image = io.BytesIO()
            self.figure.savefig(image, format=suffix, metadata=metadata)
            images[path.with_name(f"{path.name}.{suffix}")] = image
            self.figure.set_layout_engine("none")  # laid out by the first save: the second one need not do it again
        for target, image in images.items():
            write_atomically(target, _small(image) if target.suffix == ".png" else image.getvalue())
        return list(images)


def _small(image: io.BytesIO) -> bytes:
    """A PNG with a palette: a third of the bytes, and no difference to the eye."""
    packed = io.BytesIO()
    picture = Image.open(image)
    picture.convert("RGB").quantize(COLOURS_KEPT).save(packed, "png", optimize=True, dpi=picture.info["dpi"])
    return packed.getvalue()
