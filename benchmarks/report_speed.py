"""What dsee-report needs for many records: seconds of the processor and memory, with and without its cache.

`python benchmarks/report_speed.py [N]` copies the records of results/ to N of other seeds, in a temporary folder.
Bars on an idle machine, with the cache: 1,000 records: tables 2 s, status 0.5 s; 20,000: tables and page 15 s, status
3 s, page 500 MB of memory and 10 MB on disk.
"""

import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from measured import Row, spent

from dsee_bench import record
from dsee_bench.config.launch import default_results_dir

REPORT = "dsee_bench.cli.report"
COMMANDS = ("status", "tables", "page")
BARS = {1000: {"status": 0.5, "tables": 2.0}, 20_000: {"status": 3.0, "tables": 15.0, "page": 15.0}}  # seconds
PAGE_MEMORY = 500  # MB, for 20,000 records


def rows(count: int) -> Iterator[Row]:
    """Yield a row for each bar on `count` records, read from the cache."""
    with tempfile.TemporaryDirectory() as folder:
        make(count, Path(folder))
        time.sleep(0.2)  # a file so young that it may change unseen is not kept
        spent([REPORT, "tables", "--results", folder])
        for command, bar in BARS[count].items():
            took = spent([REPORT, command, "--results", folder])
            note = f"{took.memory / 1e6:,.0f} MB"
            yield Row(f"{command} of {count:,} records", took.processor, "s", bar, note)
            if command == "page":
                yield Row(f"memory of the page of {count:,} records", took.memory / 1e6, "MB", PAGE_MEMORY)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as folder:
        size = make(count, Path(folder))
        print(f"{count:,} records, {size / 1e6:,.0f} MB")
        time.sleep(0.2)  # a file so young that it may change unseen is not kept
        for cache in ("read anew", "from the cache"):
            for command in COMMANDS:
                if cache == "read anew":
                    (Path(folder) / "work" / "records.cache").unlink(missing_ok=True)
                took = spent([REPORT, command, "--results", folder])
                times = f"{took.processor:7.2f} s of the processor, {took.memory / 1e6:6,.0f} MB at most"
                print(f"{command:<8} {cache:<16} {times}")
        print(f"page.html: {(Path(folder) / 'page.html').stat().st_size / 1e6:.1f} MB")


def make(count: int, results: Path) -> int:
    """Write copies of the committed records with other seeds and values, and return their bytes."""
    (results / "runs").mkdir(parents=True)
    sources = [json.loads(path.read_text(encoding="utf-8")) for path in record.paths(default_results_dir())]
    numbers = random.Random(0)
    written = 0
    for place in range(count):
        copy, source = divmod(place, len(sources))
        content = dict(sources[source])
        content["config"] = content["config"] | {"seed": content["config"]["seed"] + 100 * copy}
        digest = hashlib.sha256(f"{content['run_id']} {copy}".encode()).hexdigest()
        start = content["run_id"].rsplit("-", 2)[0]
        content["run_id"] = f"{start}-s{content['config']['seed']}-{digest[:8]}"
        content["scores"] = [_shaken(score, numbers) for score in content["scores"]]
        text = json.dumps(content, indent=1, ensure_ascii=False)
        written += (results / "runs" / f"{content['run_id']}.json").write_text(text, encoding="utf-8")
    return written


def _shaken(score: dict[str, object], numbers: random.Random) -> dict[str, object]:
    value = score["value"]
    return score | {"value": value + numbers.uniform(-0.01, 0.01) if isinstance(value, float) else value}


if __name__ == "__main__":
    main()
