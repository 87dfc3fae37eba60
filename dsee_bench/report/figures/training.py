"""Figures of training: loss and dev score over the steps of all tuning stages, with the stages marked."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dsee_bench.record import Record
from dsee_bench.report.figures.figure import ink, panels

ACROSS = 4  # methods side by side
LINE = 7.5  # points, from one name of a stage to the next


def draw_training(records: Mapping[str, Sequence[Record]], path: Path) -> list[Path]:
    """Draw the runs of one task: loss above dev score, a column a row of the table (by label), a line a seed."""
    across = min(len(records), ACROSS)
    places = [2 * across * (number // across) + number % across for number in range(len(records))]  # of the losses
    titles = [""] * (2 * across * -(-len(records) // across))
    for place, label in zip(places, records, strict=True):
        titles[place] = label
    with panels(titles, across=across, size=(2.0, 1.5)) as sheet:
        pairs = [(sheet.axes[place], sheet.axes[place + across]) for place in places]
        for axes in sheet.axes:
            if not any(axes in pair for pair in pairs):
                axes.remove()
        drawn = [training(pair, runs) for pair, runs in zip(pairs, records.values(), strict=True)]
        for same in zip(*pairs, strict=True):
            _share_height(same)
        sheet.legend()
        return sheet.save(path) if any(drawn) else []


def training(axes: tuple[Axes, Axes], records: Sequence[Record]) -> bool:
    """Draw loss and dev score of runs that differ by the seed only, a line each; False if no stage has a curve."""
    loss, dev = axes
    drawn = False
    for place, record in enumerate(sorted(records, key=lambda record: record.config["seed"])):
        look = ink(place)
        for target, key, marker in ((loss, "curve", ""), (dev, "dev", look.marker)):
            steps, values = curve_of(record, key)
            drawn |= bool(steps)
            (line,) = target.plot(steps, values, marker=marker, markersize=3, color=look.colour, linewidth=0.9)
            line.set(linestyle=look.line, label=f"seed {record.config['seed']}" if target is dev else None)
    _mark(axes, stage_starts(records[0]))
    loss.set_ylabel("training loss")
    dev.set_ylabel(f"{_scored_on(records[0])} {dev_metric(records[0]) or 'score'}")
    dev.set_xlabel("step")
    for target in axes:
        target.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    return drawn


def trained(record: Record) -> bool:
    """Return whether a stage of the run has a curve."""
    return any(facts.get("curve") or facts.get("dev") for _, facts in _stages(record))


def curve_of(record: Record, key: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a curve over the whole run: each tuning stage goes on where the last one ended."""
    points = [
        (before + point["step"], next(value for name, value in point.items() if name != "step"))
        for before, facts in _stages(record)
        for point in facts.get(key, [])
    ]
    defined = [(step, value) for step, value in points if value is not None]
    return [step for step, _ in defined], [value for _, value in defined]


def stage_starts(record: Record) -> list[tuple[int, list[str]]]:
    """Return the step at which each stage begins; stages without steps share one with the next, and so one mark."""
    marks: dict[int, list[str]] = {}
    for stage, (before, _) in zip(record.stages, _stages(record), strict=True):
        marks.setdefault(before, []).append(stage.name)
    return list(marks.items())


def dev_metric(record: Record) -> str | None:
    """Return the name of the score in the dev curve."""
    points = [point for _, facts in _stages(record) for point in facts.get("dev", [])]
    return next((name for point in points for name in point if name != "step"), None)


def _scored_on(record: Record) -> str:
    """Return the split of the curve: validation where rows of train chose the checkpoint."""
    return next((facts["scored_on"] for _, facts in _stages(record) if facts.get("scored_on")), "dev")


def _stages(record: Record) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The number of steps before each stage, and its facts."""
    steps = 0
    for stage in record.stages:
        yield steps, stage.facts
        steps += stage.facts.get("steps", 0)


def _mark(axes: tuple[Axes, Axes], starts: Sequence[tuple[int, list[str]]]) -> None:
    """Draw a line where stages begin, with their names above the loss, higher where the line before is close by."""
    loss = axes[0]
    crowded = 0.29 * (loss.get_xlim()[1] - loss.get_xlim()[0])  # a name of twelve letters, in a panel of two inches
    top, below = 0, 0  # in lines of text: the highest name of all, and the names above the line before
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


def _share_height(axes: Sequence[Axes]) -> None:
    limits = [panel.get_ylim() for panel in axes]
    for panel in axes:
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
