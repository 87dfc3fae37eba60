"""Where the rows of a run that is done came from: `data_dir` is no part of a run's id, so other rows may meet it."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from dsee_bench.config import ConfigError
from dsee_bench.plan import Settings
from dsee_bench.record import Record, write_atomically
from dsee_bench.tasks.example import Split

NAME = "data_dir"  # in the run's work folder, which is nobody else's: records name no machine's paths


def note(work: Path, data_dir: Path | None) -> None:
    """Remember the folder that the run's rows were read from; no error where nothing can be written."""
    with contextlib.suppress(OSError):
        write_atomically(work / NAME, _of(data_dir))


def moved(work: Path, data_dir: Path | None) -> bool:
    """Whether another folder is given now; False where none was noted (a record that came from elsewhere)."""
    file = work / NAME
    return file.is_file() and file.read_text(encoding="utf-8") != _of(data_dir)


def _of(data_dir: Path | None) -> str:
    return "" if data_dir is None else str(data_dir.resolve())


def check_rows(settings: Settings, found: Record, work: Path) -> None:
    """ConfigError if what `data_dir` says now has other rows than the run was done on; the same ones are noted. What
    cannot be read is no reason to doubt the record."""
    given = settings.launch.data_dir
    try:
        names = other_rows(found, settings.task.load(given, settings.seed))
    except (OSError, ValueError):
        return
    if names:
        where = "the hub" if given is None else f"data_dir={given}"
        raise ConfigError(
            f"{settings.run_id} is done on other rows of {names} than {where} has; task.name=NAME makes it a run of "
            "its own, force=true replaces its record"
        )
    note(work, given)


def other_rows(found: Record, data: Mapping[str, Split]) -> str:
    """The splits whose rows are not those of the record, by name; "" where all are."""
    known = {name: split.get("sha256") for name, split in found.data.items()}
    return ", ".join(name for name, split in data.items() if known.get(name) != split.sha256)
