"""Time saved, measured, against FLOPs saved, counted: what the formula promises and the machine keeps."""

from collections.abc import Sequence
from pathlib import Path

from dsee_bench.report.costs import MASKED, is_theoretical
from dsee_bench.report.figures import labels
from dsee_bench.report.figures.figure import ink, panels
from dsee_bench.report.tables import Row

Shape = tuple[float, float]  # FLOPs saved and time saved, in per cent


def draw_times(rows: Sequence[Row], title: str, path: Path) -> list[Path]:
    """Draw a point for each shape of model that was timed, of each row, and the line where the two are equal."""
    timed = {_name(row): found for row in rows if (found := shapes(row))}
    if not timed:
        return []
    with panels([title], size=(3.6, 2.5)) as sheet:
        (axes,) = sheet.axes
        for place, (name, points) in enumerate(timed.items()):
            look = ink(place)
            for flops, time in points:
                axes.plot([flops], [time], look.marker, color=look.colour, markersize=5)
                labels.write(axes, name, flops, time, look.colour)
        most = 1.15 * max(0.0, *(value for points in timed.values() for point in points for value in point))
        axes.axline((0, 0), slope=1, color="0.6", linewidth=1, linestyle="--", zorder=1)
        axes.set(xlim=(0, most), xlabel="FLOPs saved, % (formula)", ylabel="time saved, % (measured)")
        axes.set_ylim(min(0.0, *(1.15 * time for points in timed.values() for _, time in points)), most)
        axes.annotate("equal", (most, most), (-14, -3), textcoords="offset points", ha="right", va="top", fontsize=6)
        return sheet.save(path)


def shapes(row: Row) -> list[Shape]:
    """Return what the row's models save, once for each time: cells of one shape of model share their time."""
    found: dict[float, float] = {}
    for cell in row.cells:
        flops, time = (None, None) if cell is None else map(cell.costs.get, ("flops_saved", "latency_saved"))
        if flops is not None and time is not None:
            found.setdefault(time, flops)
    return [(100 * flops, 100 * time) for time, flops in found.items()]


def _name(row: Row) -> str:
    word = any(cell is not None and is_theoretical("flops_saved", cell.costs.get(MASKED)) for cell in row.cells)
    return f"{row.label}, theoretical FLOPs" if word else row.label
