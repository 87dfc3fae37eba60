"""A row of the table that `make bench` prints, and what a command takes in time and memory."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Spent(NamedTuple):
    """What one command took; processor seconds are those of user and system, of all its threads."""

    wall: float
    processor: float
    memory: int  # bytes, resident at most
    code: int


@dataclass(frozen=True)
class Row:
    """One bar of ours: `measured` must not be above `bar`, or with `at_least` not below it."""

    what: str
    measured: float | None  # None: not measured here, and `note` says why
    unit: str
    bar: float | None  # None: there is none
    note: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        if self.measured is None or self.bar is None:
            return None
        return self.measured >= self.bar if self.at_least else self.measured <= self.bar

    def line(self) -> str:
        measured = "-" if self.measured is None else f"{self.measured:.3g} {self.unit}"
        sign = ">=" if self.at_least else "<="
        bar = "" if self.bar is None else f"{sign} {self.bar:g} {self.unit}"
        verdict = {True: "holds", False: "MISSED", None: ""}[self.holds]
        return f"{self.what:<44} {measured:>14} {bar:>14}  {verdict:<7} {self.note}".rstrip()


HEAD = f"{'what':<44} {'measured':>14} {'bar':>14}"


def spent(words: Sequence[str], environment: Mapping[str, str] | None = None, *, codes: Sequence[int] = (0,)) -> Spent:
    """Run `python -m <words>` and return what it took; the program ends if the exit code is none of `codes`."""
    # A user's installation has its byte code.
    variables = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**variables, **(environment or {})},
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    code = process.returncode = os.waitstatus_to_exitcode(status)
    if code not in codes:
        sys.exit(f"exit code {code}; run: python -m {' '.join(words)}")
    return Spent(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, code)


def quickest(tries: int, words: Sequence[str], environment: Mapping[str, str] | None = None, *, code: int = 0) -> Spent:
    """Return the try that took the processor least: others on the machine only ever add to it."""
    return min((spent(words, environment, codes=(code,)) for _ in range(tries)), key=lambda each: each.processor)
