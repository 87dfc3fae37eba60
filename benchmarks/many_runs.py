"""A thousand records: how long a second start of the finished sweep takes.

The records are made up from one of results/runs, so that they are as large as real ones. Seconds of the processor;
what reports of many records take is in report_speed.py.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from measured import HEAD, Row, quickest

from dsee_bench import config, plan, record
from dsee_bench.config.launch import default_results_dir
from dsee_bench.record import Record
from dsee_bench.runs import sweep

SEEDS = 25
SWEEP = [
    *("backbone=minilm", "train=glue_small", f"seed=range({SEEDS})", "task=rte,mrpc,cola,stsb"),
    "method=full,lora,dsee_update,dsee,dsee_masked,dsee_random,dsee_structured,omp,lora_omp,imp",
]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        count = make(SWEEP, Path(folder))
        words = ["dsee_bench.cli.bench", "--multirun", *SWEEP, f"results_dir={folder}"]
        yield Row(f"a finished sweep of {count:,} started again", quickest(2, words).processor, "s", 3.0)


def make(words: list[str], results: Path) -> int:
    """Write a finished record for each run of the sweep, and return their number."""
    template = next(record.read_all(default_results_dir()))
    settings: dict[tuple[str, ...], tuple[dict[str, object], str]] = {}  # of the cells that differ in the seed alone
    cells = sweep.expand(words)
    for number, cell in enumerate(cells):
        others = tuple(word for word in cell.overrides if not word.startswith("seed="))
        if others not in settings:
            resolved = sweep.resolved(cell.overrides)
            settings[others] = config.identity(resolved), plan.read(resolved).task.metrics[0]
        identity, metric = settings[others]
        seed = int(next(word for word in cell.overrides if word.startswith("seed=")).partition("=")[2])
        record.write(_made_up(template, cell.run_id, identity | {"seed": seed}, metric, number), results)
    return len(cells)


def _made_up(template: Record, run_id: str, identity: dict[str, object], metric: str, number: int) -> Record:
    """The template as the record of a run: its settings, the first score of its task, another value."""
    score = replace(template.scores[0], name=metric, value=0.5 + (number % 89) / 200)
    made = replace(template, run_id=run_id, config=identity, scores=(score,))
    task = run_id.partition("-")[0]
    return replace(made, data={name: {**split, "sha256": task} for name, split in template.data.items()})


if __name__ == "__main__":
    print(HEAD)
    for row in rows():
        print(row.line())
