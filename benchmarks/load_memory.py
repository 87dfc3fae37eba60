"""Memory at the peak of loading a task's rows, beyond that of the same process with no rows.

`--worker TASK DIR` is one measurement in a process of its own. The rows are in the folder of DSEE_BENCH_TEST_DATA; MNLI
is left out where it is not there.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from measured import HEAD, Row, spent

TASKS = (("e2e", "e2e", "devset.csv"), ("sst2", "glue", "SST-2"), ("mnli", "glue", "MNLI"))


def rows() -> Iterator[Row]:
    data = os.environ.get("DSEE_BENCH_TEST_DATA")
    for task, folder, needs in TASKS:
        what = f"memory of loading {task}"
        if data is None or not (Path(data) / folder / needs).exists():
            yield Row(what, None, "MB", None, "its files are not in DSEE_BENCH_TEST_DATA")
            continue
        here = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
        before = spent(["load_memory", "--worker", task], here)
        after = spent(["load_memory", "--worker", task, f"{data}/{folder}"], here)
        note = f"{after.memory / 1e6:,.0f} MB with the program, {after.processor:.1f} s"
        yield Row(what, (after.memory - before.memory) / 1e6, "MB", None, note)


def load(task: str, folder: str | None) -> None:
    from dsee_bench import config, plan
    from dsee_bench.models import auto

    words = [f"task={task}", *([f"data_dir={folder}"] if folder else [])]
    words += ["backbone=smollm2"] if task == "e2e" else []
    settings = plan.read(auto.resolve(config.compose(words)))
    if folder:
        settings.load_data()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        load(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    else:
        print(HEAD)
        for row in rows():
            print(row.line())
