"""The break-even lines of the atlas: time of the pruned weight / time of the dense one, along sparsity."""

from collections.abc import Sequence
from pathlib import Path

from dsee_bench.deploy.engines import skips
from dsee_bench.report.atlas import Row
from dsee_bench.report.figures.figure import ink, panels


def draw_atlas(rows: Sequence[Row], path: Path) -> list[Path]:
    """Draw a panel for each number of tokens: removed rows, and zeros on the engines that skip them, a line each.

    A line goes through the shape in the middle, its strokes reach from the fastest shape to the slowest. Below 1 the
    pruned weight is faster. The dashed line is what the FLOPs promise.
    """
    timed = [row for row in rows if row["reason"] is None]
    tokens = sorted({row["tokens"] for row in timed})
    if not timed:
        return []
    pairs = sorted({(row["pattern"], row["engine"]) for row in timed})
    lines = [(pattern, engine) for pattern, engine in pairs if pattern == "rows" or pattern in skips(engine)]
    with panels([f"{count} tokens" for count in tokens], size=(2.4, 3.4)) as sheet:
        for axes, count in zip(sheet.axes, tokens, strict=True):
            axes.axhline(1, color="0.4", linewidth=1)
            axes.plot(range(99), [1 - share / 100 for share in range(99)], "--", color="0.6", linewidth=1)
            for place, (pattern, engine) in enumerate(lines):
                own = [
                    row for row in timed if (row["pattern"], row["engine"], row["tokens"]) == (pattern, engine, count)
                ]
                shares = sorted({row["sparsity"] for row in own})
                if not shares:
                    continue
                ratios = [sorted(row["ratio"] for row in own if row["sparsity"] == share) for share in shares]
                look, along = ink(place), [100 * share for share in shares]
                middle = [values[len(values) // 2] for values in ratios]
                axes.plot(along, middle, look.line, marker=look.marker, markersize=3, color=look.colour, linewidth=1,
                          label=f"{pattern}, {engine}")  # fmt: skip
                axes.vlines(along, [v[0] for v in ratios], [v[-1] for v in ratios], color=look.colour, linewidth=0.6)
            axes.set(xlim=(0, 100), yscale="log", xlabel="zeros or removed rows, %", ylabel="time / dense time")
        sheet.legend()
        return sheet.save(path)
