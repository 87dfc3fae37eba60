"""The training curve of a run as JSON lines, written while it trains, for plots.

Each point is a line, all with the same keys, so that `pandas.read_json(path, lines=True)` reads the file; `crc32` is
over the other keys. An interrupted run has each point once; only the first loss after the interruption is a mean over
fewer steps. A stage whose state comes from the cache has no lines here; its points are in the record.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from dsee_bench.system import jsonl


@dataclass(frozen=True)
class Point:
    """The training loss since the point before, or the dev score, after a step of a stage."""

    stage: str
    step: int  # of this stage
    seconds: float  # of this stage's training so far, without lost steps and pauses
    loss: float | None = None
    learning_rate: float | None = None
    metric: str | None = None  # of the split that chooses the checkpoint
    dev: float | None = None  # its value; None where undefined, too
    split: str = "dev"  # or validation


def points(file: Path) -> list[Point]:
    """Return the points of a file; torn and damaged lines are left out."""
    return [Point(**row) for row in jsonl.read(file)]


class Curve:
    """The file of one run's curve; `watch` is called with each new point."""

    def __init__(self, file: Path, watch: Callable[[Point], None] | None = None) -> None:
        self._file, self._watch = file, watch
        self._stage, self._began = "", 0.0

    def begin(self, stage: str, step: int) -> None:
        """Begin or resume a stage at `step`; its later points, of an interrupted start, are dropped."""
        points = [row for row in jsonl.read(self._file) if row["stage"] != stage or row["step"] <= step]
        jsonl.write(self._file, points)  # the last line may have been torn
        before = [point["seconds"] for point in points if point["stage"] == stage]
        self._stage, self._began = stage, time.perf_counter() - max(before, default=0.0)

    def add(
        self,
        step: int,
        *,
        loss: float | None = None,
        learning_rate: float | None = None,
        split: str = "dev",
        metric: str | None = None,
        dev: float | None = None,
    ) -> None:
        """Append a point of the stage that trains."""
        seconds = round(time.perf_counter() - self._began, 2)
        point = Point(self._stage, step, seconds, _finite(loss), learning_rate, metric, _finite(dev), split)
        jsonl.append(self._file, [asdict(point)])
        if self._watch is not None:
            self._watch(point)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
