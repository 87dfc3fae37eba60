"""A thousand records: how long the tables, the status and a second start of the finished sweep take.

The records are made up from one of results/runs, so that they are as large as real ones. Bounds: tables 5 s, status
2 s, and 0.2 s for each run that a finished sweep skips.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dsee_bench import config, plan, record
from dsee_bench.config.launch import default_results_dir
from dsee_bench.record import Record
from dsee_bench.runs import sweep

SWEEP = [
    *("backbone=minilm", "train=glue_small", "seed=range(25)", "task=rte,mrpc,cola,stsb"),
    "method=full,lora,dsee_update,dsee,dsee_masked,dsee_random,dsee_structured,omp,lora_omp,imp",
]
REPORT, BENCH = "dsee_bench.cli.report", "dsee_bench.cli.bench"


def main() -> None:
    template = next(record.read_all(default_results_dir()))
    with tempfile.TemporaryDirectory() as folder:
        cells = sweep.expand(SWEEP)
        for number, cell in enumerate(cells):
            record.write(_made_up(template, cell, number), Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).glob("runs/*.json")) / 1e6
        print(f"{len(cells)} records, {size:.1f} MB")
        _time("tables", 5, REPORT, "tables", "--results", folder)
        _time("status", 2, REPORT, "status", "--results", folder)
        _time("status of the sweep", None, REPORT, "status", *SWEEP, "--results", folder)
        seconds = _time("finished sweep, started again", None, BENCH, "--multirun", *SWEEP, f"results_dir={folder}")
        print(f"{'  a run':<32} {seconds / len(cells):7.3f} s  (bound 0.2 s)")


def _made_up(template: Record, cell: sweep.Cell, number: int) -> Record:
    """The template as the record of `cell`: its settings, the first score of its task, another value."""
    resolved = sweep.resolved(cell.overrides)
    task = plan.read(resolved).task
    score = replace(template.scores[0], name=task.metrics[0], value=0.5 + (number % 89) / 200)
    made = replace(template, run_id=cell.run_id, config=config.identity(resolved), scores=(score,))
    return replace(made, data={name: {**split, "sha256": task.name} for name, split in template.data.items()})


def _time(what: str, bound: float | None, module: str, *words: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, timeout=200)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"{what} failed: {done.stderr[-2000:]}")
    print(f"{what:<32} {seconds:7.2f} s" + (f"  (bound {bound} s)" if bound else ""))
    return seconds


if __name__ == "__main__":
    main()
