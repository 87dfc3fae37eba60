"""`dsee-bench cache`: list, measure and remove cached states."""

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path

from tabulate import tabulate

from dsee_bench.cache.listing import NAMED, CachedState, cached, leftovers, remove, size
from dsee_bench.config.launch import default_results_dir
from dsee_bench.system.files import remove as remove_path
from dsee_bench.system.shell import argument_path

SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


def main(argv: Sequence[str]) -> int:
    """Run the words after `dsee-bench cache`; return the exit code."""
    options = _parser().parse_args(argv)
    states = options.results_dir / "work" / "states"
    return int(options.run(states, options))


def show(states: Path, _: argparse.Namespace) -> int:
    now = time.time()
    rows = [
        [
            state.folder.name,
            *(state.about.get(name) for name in (*NAMED, "seed")),
            ", ".join(state.stages) or "(a tuning that did not end)",
            f"{state.bytes / 1e6:,.1f}",
            _ago(now - state.used),
            "in use" if state.held else "",
        ]
        for state in cached(states)
    ]
    if rows:
        headers = ["state", *NAMED, "seed", "after", "MB", "last used", ""]
        print(tabulate(rows, headers=headers, tablefmt="simple", missingval="-", disable_numparse=True), end="\n\n")
    return total(states, _)


def total(states: Path, _: argparse.Namespace) -> int:
    listed = cached(states)
    print(f"{len(listed)} states, {sum(state.bytes for state in listed) / 1e6:,.1f} MB in {states}")
    broken = leftovers(states)
    if broken:
        print(f"{len(broken)} half-written by processes that died, {sum(map(size, broken)) / 1e6:,.1f} MB; prune them")
    return 0


def prune(states: Path, options: argparse.Namespace) -> int:
    """Remove the states that the options choose, and half-written files of killed processes."""
    gone: dict[bool, list[CachedState]] = {True: [], False: []}
    for state in _chosen(cached(states), options):
        gone[not state.held if options.dry_run else remove(state.folder)].append(state)
    removed, broken = gone[True], leftovers(states)
    freed = sum(state.bytes for state in removed) + sum(map(size, broken))
    if not options.dry_run:
        for left in broken:
            with suppress(OSError):  # another process was faster
                remove_path(left)
    print(f"{'would remove' if options.dry_run else 'removed'} {len(removed)} states and {len(broken)} half-written")
    print(f"{freed / 1e6:,.1f} MB; {len(cached(states))} states lie in {states}")
    for state in gone[False]:
        print(f"{state.folder.name} stays: a running process works on it", file=sys.stderr)
    return 0


def _chosen(states: Sequence[CachedState], options: argparse.Namespace) -> list[CachedState]:
    """Return the states to remove: all, those not used for a while, or the longest unused until the rest fits."""
    if options.older_than is not None:
        before = time.time() - options.older_than
        return [state for state in states if state.used <= before]
    if options.down_to is not None:
        sizes = accumulate(state.bytes for state in states)  # the last used first
        return [state for state, total in zip(states, sizes, strict=True) if total > options.down_to]
    return list(states)


def _ago(seconds: float) -> str:
    unit = max((unit for unit in SECONDS if SECONDS[unit] <= seconds), key=SECONDS.__getitem__, default="m")
    return f"{seconds / SECONDS[unit]:.0f} {unit} ago"


def _number_with(units: dict[str, int], example: str) -> Callable[[str], float]:
    """Return a parser of words like `7d` or `20GB`."""

    def parse(text: str) -> float:
        match = re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(units)})", text)
        if match is None:
            names = ", ".join(units)
            raise argparse.ArgumentTypeError(f"{text!r} must be a number and one of {names}, as in {example}")
        return float(match[1]) * units[match[2]]

    return parse


def _results_dir(text: str) -> Path:
    key, _, value = text.partition("=")
    if key != "results_dir" or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is no setting of this command; there is results_dir=DIR")
    return argument_path(value).resolve()


def _parser() -> argparse.ArgumentParser:
    description = (
        "Runs that begin alike share their first stages: the state after each tuning is cached in DIR/work/states "
        "under a hash of all that leads to it. Removing a state loses no result; a run that needs it makes it again."
    )
    parser = argparse.ArgumentParser(prog="dsee-bench cache", description=description)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: object, description: str, *examples: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=description,
            description=description,
            epilog="\n  dsee-bench cache ".join(["examples:", *examples]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument(
            "results_dir",
            type=_results_dir,
            nargs="?",
            default=default_results_dir(),
            metavar="results_dir=DIR",
            help="as of the runs; default: %(default)s",
        )
        command.set_defaults(run=run)
        return command

    add("list", show, "list the cached states with size and last use", "list")
    add("size", total, "print the number of states and their size", "size", "size results_dir=/scratch/r")
    prune_parser = add(
        "prune",
        prune,
        "remove cached states; one that a running process works on stays",
        "prune --older-than 14d",
        "prune --down-to 20GB --dry-run",
        "prune --all results_dir=/scratch/r",
    )
    choice = prune_parser.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--older-than",
        type=_number_with(SECONDS, "7d"),
        metavar="AGE",
        help="not used for so long: 30m, 12h, 7d, 4w",
    )
    choice.add_argument(
        "--down-to",
        type=_number_with(BYTES, "20GB"),
        metavar="SIZE",
        help="the longest unused, until the rest fits: 500MB, 20GB",
    )
    choice.add_argument("--all", action="store_true", help="every state")
    prune_parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    return parser
