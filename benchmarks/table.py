"""All bars on the runner's own speed in one table: what, measured, bar. `make bench` prints it.

Some five minutes on two slow cores; with --long, which adds the rows of minutes each, a quarter of an hour. The machine
should have nothing else to do. A bar that is missed is no error: the exit code is 1 only with --strict.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial

import decode_rate
import decompose
import demo
import load_memory
import many_runs
import report_speed
import start_up
import step_time
import ter_speed
import whole_run
from measured import HEAD, Row

SHORT: tuple[Callable[[], Iterator[Row]], ...] = (
    step_time.rows,
    decompose.rows,
    start_up.rows,
    partial(report_speed.rows, 1000),
    many_runs.rows,
    ter_speed.rows,
    load_memory.rows,
    decode_rate.rows,
)
LONG = (demo.rows, whole_run.rows, partial(report_speed.rows, 20_000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--long", action="store_true", help="also the demo, a whole run, and 20,000 records")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a bar is missed")
    options = parser.parse_args()
    print(HEAD)
    missed = 0
    for rows in (*SHORT, *(LONG if options.long else ())):
        for row in rows():
            print(row.line(), flush=True)
            missed += row.holds is False
    print(f"{missed} missed")
    sys.exit(bool(missed and options.strict))


if __name__ == "__main__":
    main()
