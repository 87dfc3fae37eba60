"""How long the bare command takes, which runs the demo: DSEE on the toy task. Wall time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from measured import HEAD, Row, spent

from dsee_bench import record


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        took = spent(["dsee_bench.cli.bench", f"results_dir={folder}"])
        (found,) = record.read_all(Path(folder))
    stages = sum(log.seconds for log in found.stages)
    yield Row(
        "the demo", took.wall, "s", 60.0, f"{stages:.0f} s of them in stages, {took.processor:.0f} s of processor"
    )


if __name__ == "__main__":
    print(HEAD)
    for row in rows():
        print(row.line())
