"""Reading the records of a results folder, and finding one by its id or the start of it."""

from dataclasses import dataclass
from pathlib import Path

from dsee_bench import record as stored
from dsee_bench.config import nearest
from dsee_bench.record import Record
from dsee_bench.report.fields import check


@dataclass(frozen=True)
class Found:
    """The records that reports are made of, and why each of the others is left out."""

    records: list[Record]
    left_out: list[str]


def records(results_dir: Path) -> Found:
    """Every record that a report can use, and what is wrong with the others."""
    found = Found([], [])
    for path in stored.paths(results_dir):
        try:
            found.records.append(checked(path))
        except ValueError as error:
            found.left_out.append(f"left out: {error}")
    return found


def checked(path: Path) -> Record:
    """The record at `path`, with all that a report takes from it; ValueError names the file and what is wrong."""
    found = stored.read(path)
    try:
        check(found)
    except ValueError as error:
        raise ValueError(f"{path} cannot be used in a report: {error}") from error
    return found


def path_of(run: str, results_dir: Path) -> Path:
    """Where the record lies whose id is `run` or, if there is only one, starts with it."""
    known = {path.stem: path for path in stored.paths(results_dir)}
    if run in known:
        return known[run]
    match [name for name in known if name.startswith(run)]:
        case [only]:
            return known[only]
        case []:
            raise ValueError(f"no run {run!r} among the {len(known)} in {results_dir / 'runs'}{nearest(run, known)}")
        case several:
            raise ValueError(f"{run!r} is the start of {len(several)} runs: {', '.join(several[:5])}; give more of it")
