"""How long a command takes to answer where there is nothing to run: help, a mistake, weights that cannot be had.

Seconds of the processor, the least of some tries; on an idle machine they are the wall time.
"""

import tempfile
from collections.abc import Iterator

from measured import HEAD, Row, quickest

BENCH = "dsee_bench.cli.bench"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HOME": "/nonexistent"}


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        for what, words, code, tries, bar in (
            ("--help", ["--help"], 0, 3, 0.5),
            ("config error: unknown name", ["method=dseee"], 1, 3, 0.5),
            ("config error: wrong value", ["train.epochs=-1"], 1, 3, 0.5),
            ("no weights and no network", ["backbone=bert-base", f"results_dir={folder}"], 1, 2, 5.0),
            ("no data", ["task=rte", "data_dir=/nonexistent", f"results_dir={folder}"], 1, 2, 5.0),
        ):
            took = quickest(tries, [BENCH, *words], OFFLINE, code=code)
            yield Row(what, took.processor, "s", bar)


if __name__ == "__main__":
    print(HEAD)
    for row in rows():
        print(row.line(), flush=True)
