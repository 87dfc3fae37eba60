"""Where one run stands: done, running, stopped, failed, missing, or with a record that nobody can read."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsee_bench.record import Record, path_of, paths, read
from dsee_bench.system import errors
from dsee_bench.system.locks import held, run_lock

Name = Literal["finished", "running", "interrupted", "failed", "unreadable", "missing"]
NAMES: tuple[Name, ...] = ("finished", "running", "interrupted", "failed", "unreadable", "missing")


@dataclass(frozen=True)
class State:
    run_id: str
    name: Name
    why: str | None = None  # of a run that did not end well
    record: Record | None = None


def state_of(run_id: str, results_dir: Path) -> State:
    """From the run's record and its work folder. A failed run that is worked on again counts as running; one that was
    begun and has no record was killed."""
    path = path_of(run_id, results_dir)
    work = results_dir / "work" / run_id
    lock = run_lock(work)
    refused = errors.remembered(work)
    if not os.path.lexists(path):
        if held(lock):
            return State(run_id, "running")
        if refused is not None:
            return State(run_id, "failed", refused)
        killed = State(run_id, "interrupted", "ended without a record: killed, or the machine went down")
        return killed if lock.is_file() else State(run_id, "missing")
    try:
        record = read(path)
    except ValueError as error:
        return State(run_id, "unreadable", str(error))
    if record.status == "finished":
        return State(run_id, "finished", None, record)
    if held(lock):
        return State(run_id, "running", last_line(record), record)
    return State(run_id, record.status if refused is None else "failed", refused or last_line(record), record)


def every_state(results_dir: Path) -> list[State]:
    """Of all runs that left a record or work files, by id."""
    recorded = {path.stem for path in paths(results_dir)}
    begun = {path.parent.name for path in (results_dir / "work").glob(f"*/{run_lock(Path()).name}")}
    return [state_of(run_id, results_dir) for run_id in sorted(recorded | begun)]


def last_line(record: Record) -> str:
    """The last line of a failed run's traceback: the error itself."""
    lines = (record.error or "").strip().splitlines()
    return lines[-1] if lines else "no error was recorded"
