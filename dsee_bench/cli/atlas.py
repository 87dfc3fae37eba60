"""`dsee-bench atlas`: time pruned weights on every engine of this machine, a row each, in results/atlas."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dsee_bench.config import ConfigError
from dsee_bench.config.launch import default_results_dir
from dsee_bench.monitoring import console
from dsee_bench.system.shell import argument_path


def main(words: Sequence[str]) -> int:
    """Measure what the file of this machine lacks; return the exit code."""
    parser = argparse.ArgumentParser(prog="dsee-bench atlas", description=__doc__)
    parser.add_argument("--results", type=argument_path, default=default_results_dir(), metavar="DIR")
    parser.add_argument("--machine", metavar="NAME", help="default: its processor and instruction set")
    parser.add_argument("--threads", type=int, metavar="N", help="default: torch's")
    parser.add_argument("--engines", default="", metavar="A,B", help="default: all")
    parser.add_argument("--quick", action="store_true", help="one shape and few sparsities: a minute or two")
    parser.add_argument("--again", action="store_true", help="measure all of it again")
    options = parser.parse_args(words)
    try:
        return _measure(options)
    except (ConfigError, ValueError, OSError) as error:
        print(f"dsee-bench: {error}", file=sys.stderr)
        return 1


def _measure(options: argparse.Namespace) -> int:
    import torch

    from dsee_bench.deploy import atlas
    from dsee_bench.system.provenance import device_name, isa

    if options.threads:
        torch.set_num_threads(options.threads)
    name = options.machine or f"{device_name('auto')}, {isa()}, {torch.get_num_threads()} threads"
    wanted = atlas.cells(quick=options.quick, only=[part for part in options.engines.split(",") if part])
    file: Path = options.results / "atlas" / f"{atlas.slug(name)}.jsonl"
    if options.again:
        file.unlink(missing_ok=True)
    done = {atlas.key(row) for row in atlas.read(file)} if file.exists() else set()
    left = [cell for cell in wanted if cell not in done]
    file.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with file.open("a", encoding="utf-8") as out:
        for number, cell in enumerate(left, 1):
            row = atlas.measure(cell, name)
            out.write(json.dumps(row) + "\n")
            out.flush()
            found = row["reason"] or f"{row['ratio']:.2f} of the dense weight's time"
            rest = (time.monotonic() - started) / number * (len(left) - number)
            what = f"{cell.shape}, {cell.tokens} tokens, {cell.pattern} {cell.sparsity:.0%}, {cell.engine}"
            console.output(f"{number}/{len(left)}  {what}: {found}; {rest / 60:.0f} min left")
    console.output(f"{len(done & set(wanted))} rows were there, {len(left)} are new: {file}")
    return 0
