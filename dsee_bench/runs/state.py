"""Where one run stands (finished, running, interrupted, failed, missing, unreadable), and its lock."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dsee_bench.config import ConfigError
from dsee_bench.record import Record, path_of, paths, read
from dsee_bench.system import errors, files
from dsee_bench.system.locks import held, lock_at, run_lock
from dsee_bench.system.signals import INTERRUPTED

if TYPE_CHECKING:
    from dsee_bench.plan import Settings

Name = Literal["finished", "running", "interrupted", "failed", "unreadable", "missing"]
NAMES: tuple[Name, ...] = ("finished", "running", "interrupted", "failed", "unreadable", "missing")


@dataclass(frozen=True)
class State:
    run_id: str
    name: Name
    why: str | None = None  # the run did not finish
    record: Record | None = None


def state_of(run_id: str, results_dir: Path, read: Callable[[Path], Record] = read) -> State:
    """Return the state from the run's record, as `read` returns it, and its work folder.

    A failed run that is worked on again is running. A run with work files and neither record nor process was killed.
    """
    path = path_of(run_id, results_dir)
    work = results_dir / "work" / run_id
    lock = run_lock(work)
    if not os.path.lexists(path):
        if held(lock):
            return State(run_id, "running")
        if (refused := errors.remembered(work)) is not None:
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
    refused = errors.remembered(work)
    return State(run_id, record.status if refused is None else "failed", refused or last_line(record), record)


def every_state(results_dir: Path, read: Callable[[Path], Record] = read) -> list[State]:
    """Return the state of every run that left a record, as `read` returns it, or work files; by id."""
    recorded = {path.stem for path in paths(results_dir)}
    begun = {path.parent.name for path in (results_dir / "work").glob(f"*/{run_lock(Path()).name}")}
    return [state_of(run_id, results_dir, read) for run_id in sorted(recorded | begun)]


def last_line(record: Record) -> str:
    """Return the last line of a failed run's traceback: the error itself."""
    lines = (record.error or "").strip().splitlines()
    return lines[-1] if lines else "no error was recorded"


def is_finished(path: Path) -> bool:
    """Return whether the file is the record of a finished run."""
    try:
        return path.is_file() and read(path).status == "finished"
    except ValueError:  # damaged, or of another schema
        return False


def earlier(path: Path, work: Path) -> Path:
    """Return where the record at `path` lies while force=true repeats its run."""
    return work / path.name


def set_record_aside(path: Path, work: Path) -> None:
    """Move the record of the run to its work folder, until the repeat of the run has ended."""
    shutil.move(path, earlier(path, work))


def put_record_back(path: Path, work: Path) -> None:
    """Move a finished record that was set aside back, if there is one."""
    if is_finished(earlier(path, work)):
        shutil.move(earlier(path, work), path)


@contextmanager
def locked(settings: "Settings") -> Iterator[None]:
    """Hold the lock of the run until the end of the block; ConfigError where nothing can be written."""
    from filelock import Timeout

    try:
        _check_folders(settings)
        lock = lock_at(run_lock(settings.work))
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{settings.run_id}: another process works on it; waiting", file=sys.stderr)
        try:
            lock.acquire()
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except OSError as error:
        raise ConfigError(
            f"nothing can be written to results_dir={settings.results_dir}: {error}; give another"
        ) from error
    with lock:
        _clear(settings.record.parent, f".{settings.record.name}.")
        _clear(settings.work, ".")
        yield


def _check_folders(settings: "Settings") -> None:
    """Make the folders that the run writes to; ValueError or OSError where it cannot write."""
    files.check_file(settings.record)
    files.check_folder(settings.states)
    files.check_own_folder(settings.work)
    for folder in (settings.work, settings.record.parent):
        files.check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def _clear(folder: Path, start: str) -> None:
    """Remove the temporary files that a killed process of this run left; the caller holds its lock."""
    for path in folder.iterdir():
        if path.name.startswith(start) and path.name.endswith(".tmp"):
            with suppress(OSError):
                path.unlink()
