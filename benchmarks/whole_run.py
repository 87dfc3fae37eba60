"""A whole run, start to record, beside plain_script.py: the same recipe in a plain Trainer + PEFT script. Wall time.

Both compute in the same precision and on the same threads, one after the other. The toy task by default; the bar is
meant for `--task rte --data-dir data/glue`, which takes 15 minutes on two slow cores.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measured import HEAD, Row

from dsee_bench import record


def rows(task: str = "toy_pairs", data_dir: str | None = None) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        data = [f"data_dir={data_dir}"] if data_dir else []
        words = ["method=lora", "backbone=minilm", "train=glue_small", "train.select_on=dev", f"task={task}", *data]
        words += [f"results_dir={folder}", "quiet=true"]
        ours, _ = _seconds(["-m", "dsee_bench.cli.bench", *words])
        (found,) = record.read_all(Path(folder))
        script = [str(Path(__file__).with_name("plain_script.py")), "--task", task]
        theirs, said = _seconds([*script, *(["--data-dir", data_dir] if data_dir else [])])
    score = next(score for score in found.scores if score.split == "dev")
    (other,) = re.findall(rf"'{score.name}': (-?[\d.]+)", said) or ["?"]
    note = f"{ours:.0f} s beside {theirs:.0f} s on {task}; {score.name} {score.value:.4f} beside {other}"
    yield Row("a whole run / plain Trainer + PEFT script", ours / theirs, "x", 0.90, note)


def _seconds(words: list[str]) -> tuple[float, str]:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
    return time.perf_counter() - started, done.stdout


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--task", default="toy_pairs")
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    print(HEAD)
    for row in rows(options.task, options.data_dir):
        print(row.line())
