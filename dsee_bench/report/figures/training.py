"""Figures of training: loss and dev score over the steps of all tuning stages, with the stages marked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dsee_bench.record import Record
from dsee_bench.report.figures.figure import ink

LINE = 7.5  # points, from one name of a stage to the next
Curve = tuple[list[int], list[float]]  # steps, values


def training(axes: tuple[Axes, Axes], records: Sequence[Record]) -> bool:
    """Loss and dev score of runs that differ by the seed only, one line a run; False if no stage kept its curve."""
    loss, dev = axes
    drawn = False
    for place, record in enumerate(sorted(records, key=lambda record: record.config["seed"])):
        look = ink(place)
        for target, key, marker in ((loss, "curve", ""), (dev, "dev", look.marker)):
            steps, values = along(record, key)
            drawn |= bool(steps)
            (line,) = target.plot(steps, values, marker=marker, markersize=3, color=look.colour, linewidth=0.9)
            line.set(linestyle=look.line, label=f"seed {record.config['seed']}" if target is dev else None)
    _mark(axes, stage_starts(records[0]))
    loss.set_ylabel("training loss")
    dev.set_ylabel(f"dev {metric_of(records[0]) or 'score'}")
    dev.set_xlabel("step")
    for target in axes:
        target.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return drawn


def _mark(axes: tuple[Axes, Axes], starts: Sequence[tuple[int, list[str]]]) -> None:
    """A line where stages begin, their names above the loss: above those of the line before where that is close by."""
    loss = axes[0]
    crowded = 0.29 * (loss.get_xlim()[1] - loss.get_xlim()[0])  # a name of twelve letters, in a panel of two inches
    top, below = 0, 0  # in lines of text: the highest name of all, and what is already above the line before
    for place, (start, names) in enumerate(starts):
        for target in axes:
            target.axvline(start, color="0.5", linewidth=0.8, linestyle=":")
        if place and start - starts[place - 1][0] > crowded:
            below = 0
        above = (0, 2 + LINE * below)
        loss.annotate("\n".join(names), (start, 1), xycoords=loss.get_xaxis_transform(), xytext=above,
                      textcoords="offset points", fontsize=5.5, color="0.3")  # fmt: skip
        below += len(names)
        top = max(top, below)
    loss.set_title(loss.get_title(), pad=3 + LINE * top)


def along(record: Record, key: str) -> Curve:
    """One curve over the whole run: each tuning stage goes on where the one before it ended."""
    steps: list[int] = []
    values: list[float] = []
    for before, facts in _tunings(record):
        for point in facts.get(key, []):
            value = next(value for name, value in point.items() if name != "step")
            if value is not None:
                steps.append(before + point["step"])
                values.append(value)
    return steps, values


def stage_starts(record: Record) -> list[tuple[int, list[str]]]:
    """The step at which each stage begins; stages that take no step share one with the next, and so one mark."""
    marks: dict[int, list[str]] = {}
    done = 0
    for stage in record.stages:
        marks.setdefault(done, []).append(stage.name)
        done += stage.facts.get("steps", 0)
    return list(marks.items())


def metric_of(record: Record) -> str | None:
    """The name of the score in the dev curve."""
    names = [
        name for _, facts in _tunings(record) for point in facts.get("dev", []) for name in point if name != "step"
    ]
    return names[0] if names else None


def _tunings(record: Record) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The steps done before each stage, and its facts."""
    done = 0
    for stage in record.stages:
        yield done, stage.facts
        done += stage.facts.get("steps", 0)
