"""What it saves to keep the state after a stage: DSEE at six sparsities with two seeds, with reuse and without.

The first stages are tuned twice, not twelve times. Without reuse every run is repeated by force=true, which drops its
cached states first. Tiny models on a toy task: the share of the first tuning in a run is that of the authors' recipe
for SST-2, half.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dsee_bench import record

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SEEDS = (0, 1)
SWEEP = [
    *("method=dsee", "backbone=tiny-bert", "task=toy_pairs", "train.epochs=5", "train.retune_epochs=5", "threads=1"),
    f"method.stages.prune.sparsity={','.join(map(str, RATIOS))}",
    f"seed={','.join(map(str, SEEDS))}",
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with_reuse, tuned = sweep(Path(folder))
        assert tuned == len(SEEDS), f"{tuned} first tunings, not one a seed"
        print(f"with reuse:    {with_reuse:6.1f} s, the first stage tuned {tuned} times")
        without, tuned = sweep(Path(folder), "force=true")
        assert tuned == len(RATIOS) * len(SEEDS), f"{tuned} first tunings, not one a run"
    print(f"without reuse: {without:6.1f} s, the first stage tuned {tuned} times")
    print(f"with reuse it takes {with_reuse / without:.2f} of the time")


def sweep(folder: Path, *words: str) -> tuple[float, int]:
    """Return the seconds of the sweep, and how often its first stage was tuned."""
    command = [sys.executable, "-m", "dsee_bench.cli.bench", "--multirun", *SWEEP, f"results_dir={folder}", *words]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    records = list(record.read_all(folder))
    assert len(records) == len(RATIOS) * len(SEEDS)
    first = [log for found in records for log in found.stages if log.name == "tune"]
    return seconds, sum("reused" not in log.facts for log in first)


if __name__ == "__main__":
    main()
