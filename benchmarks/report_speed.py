"""What dsee-report needs for many records: seconds of the processor and memory, with and without its cache.

`python benchmarks/report_speed.py [N]` copies the records of results/ to N of other seeds, in a temporary folder.
Bars on an idle machine, with the cache: 1,000 records: tables 2 s, status 0.5 s; 20,000: tables and page 15 s, status
3 s, page 500 MB of memory and 10 MB on disk.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dsee_bench import record
from dsee_bench.config.launch import default_results_dir

COMMANDS = ("status", "tables", "page")


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
                seconds, memory = spent(command, folder)
                print(f"{command:<8} {cache:<16} {seconds:7.2f} s of the processor, {memory / 1e6:6,.0f} MB at most")
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


def spent(command: str, results: str) -> tuple[float, int]:
    """Run one command and return its seconds of the processor (user and system) and its largest memory, in bytes."""
    words = [sys.executable, "-m", "dsee_bench.cli.report", command, "--results", results]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed; run: {' '.join(words)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
