"""How cost grows: a sweep's time with its distinct stages, a report's with the records, memory with K.

Each is a straight line in what it should grow with: the slope is printed, and the power p of x^p that fits what comes
on top of the smallest point's share, where 1 is a line. `--out DIR` takes the figures; the default is
results/work/growth. Some minutes on two slow cores.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import report_speed
import torch
from measured import spent
from step_time import batch_of, peak_bytes, trainer_of, with_dsee

from dsee_bench import record
from dsee_bench.config.launch import default_results_dir

RECORDS = (250, 500, 1000, 2000)
SPARSITIES = (1, 2, 4, 8)
ENTRIES = (0, 1024, 4096, 16384)  # K of each of 12 weights of 384 x 384
WEIGHTS = 12
SWEEP = ["method=dsee", "backbone=tiny-bert", "task=toy_pairs", "train.epochs=3", "train.retune_epochs=3", "threads=1"]


@dataclass(frozen=True)
class Growth:
    """One experiment: costs at some sizes, and the line through them."""

    name: str
    x: str
    y: str
    sizes: Sequence[float]
    costs: Sequence[float]

    @property
    def line(self) -> tuple[float, float]:
        """Slope and cost at 0, by least squares."""
        slope, start = np.polyfit(self.sizes, self.costs, 1)
        return float(slope), float(start)

    @property
    def power(self) -> float:
        """The p of cost - cost at 0 ~ size^p over the last two points; about 1 where the growth is a line."""
        (a, b), (low, high) = self.sizes[-2:], (cost - self.line[1] for cost in self.costs[-2:])
        return float(np.log(high / low) / np.log(b / a)) if min(low, high, a) > 0 else float("nan")

    def text(self) -> str:
        slope, start = self.line
        points = ", ".join(f"{size:g}: {cost:.4g}" for size, cost in zip(self.sizes, self.costs, strict=True))
        return f"{self.name}: {slope:.3g} {self.y} per {self.x}, {start:.3g} at 0, power {self.power:.2f} ({points})"


def sweep_by_stages() -> Growth:
    """DSEE at k sparsities: the first tuning is shared, so k + 1 tunings are distinct, of 2 k in all the runs."""
    tunings, seconds = [], []
    for count in SPARSITIES:
        with tempfile.TemporaryDirectory() as folder:
            chosen = ",".join(f"{(at + 1) / 10}" for at in range(count))
            words = [*SWEEP, f"method.stages.prune.sparsity={chosen}", f"results_dir={folder}"]
            seconds.append(spent(["dsee_bench.cli.bench", *(["--multirun"] if count > 1 else []), *words]).processor)
            logs = [log for found in record.read_all(Path(folder)) for log in found.stages]
            tuned = [log for log in logs if log.name in ("tune", "retune") and "reused" not in log.facts]
            assert len(tuned) == count + 1, f"{len(tuned)} tunings of {count} sparsities, not one more"
            tunings.append(len(tuned))
    return Growth("a sweep by distinct stages", "tuning", "s of the processor", tunings, seconds)


def reports_by_records() -> Growth:
    seconds = []
    for count in RECORDS:
        with tempfile.TemporaryDirectory() as folder:
            report_speed.make(count, Path(folder))
            words = [report_speed.REPORT, "tables", "--results", folder]
            spent(words)  # fills the cache
            seconds.append(spent(words).processor)
    return Growth("tables by records", "record", "s of the processor", RECORDS, seconds)


def memory_by_entries() -> Growth:
    """Peak of a training step of 128 tokens: beside value, gradient, moments and position, an entry has activations."""
    batch, megabytes = batch_of(8, 16), []
    for count in ENTRIES:
        model = with_dsee(count)
        megabytes.append(peak_bytes(trainer_of(model, batch, bf16=False), model) / 1e6)
    return Growth("memory by K", "trained entry", "MB", [WEIGHTS * count for count in ENTRIES], megabytes)


EXPERIMENTS: dict[str, Callable[[], Growth]] = {
    "stages": sweep_by_stages,
    "records": reports_by_records,
    "entries": memory_by_entries,
}


def draw(growth: Growth, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    slope, start = growth.line
    axes.plot(growth.sizes, growth.costs, "o")
    axes.plot(growth.sizes, [start + slope * size for size in growth.sizes], "-")
    axes.set(xlabel=f"{growth.x}s", ylabel=growth.y, title=f"{growth.name}: {slope:.3g} per {growth.x}", xlim=0, ylim=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*EXPERIMENTS, []], help="only these")
    parser.add_argument("--out", type=Path, default=default_results_dir() / "work" / "growth")
    options = parser.parse_args()
    torch.manual_seed(0)
    for name in options.names or EXPERIMENTS:
        growth = EXPERIMENTS[name]()
        print(growth.text(), flush=True)
        draw(growth, options.out / f"{name}.svg")


if __name__ == "__main__":
    main()
