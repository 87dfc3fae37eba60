"""The expected best score on the validation rows by number of trials, a line a method."""

import io
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from dsee_bench.report.figures.figure import ink, panels
from dsee_bench.report.search import Search
from dsee_bench.system.files import write_atomically

FORMATS = ("svg", "png", "pdf")


def draw_search(found: Search, path: Path) -> None:
    """Draw the curves to `path`; ValueError for a format that is not drawn, or where no method has a curve."""
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ValueError(f"--figure {path} must end in one of .{', .'.join(FORMATS)}")
    curves = {method.name: method.expected for method in found.methods if method.expected}
    if not curves:
        raise ValueError("no figure: no method has finished all its trials; the text lists the missing runs")
    with panels(["Expected best by number of trials"], size=(4.2, 2.8)) as sheet:
        (axes,) = sheet.axes
        for place, (name, curve) in enumerate(curves.items()):
            look = ink(place)
            axes.plot(range(1, len(curve) + 1), curve, look.line, marker=look.marker, color=look.colour, label=name)
        axes.set(xlabel="trials", ylabel="mean over tasks, validation rows")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        sheet.legend()
        image = io.BytesIO()
        date = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        sheet.figure.savefig(image, format=kind, metadata=date)
    write_atomically(path, image.getvalue())
