"""Where the rows of a run that is done lay: `data_dir` is no part of a run's name, so other rows may come under it."""

from collections.abc import Mapping
from pathlib import Path

from dsee_bench.config import ConfigError
from dsee_bench.plan import Settings
from dsee_bench.record import Record, write_atomically
from dsee_bench.tasks.example import Split

NAME = "data_dir"  # in the run's work folder, which is nobody else's: records name no machine's paths


def note(work: Path, data_dir: Path | None) -> None:
    """Remember the folder that the run's rows were read from."""
    write_atomically(work / NAME, _of(data_dir))


def moved(work: Path, data_dir: Path | None) -> bool:
    """Whether another folder is given now; False where none was noted (a record that came from elsewhere)."""
    file = work / NAME
    return file.is_file() and file.read_text(encoding="utf-8") != _of(data_dir)


def _of(data_dir: Path | None) -> str:
    return str((data_dir or Path.cwd()).resolve())  # relative files of task=custom lie in the working directory


def check_rows(settings: Settings, found: Record) -> None:
    """ConfigError if the folder that is given holds other rows than the run was done on. One that cannot be read is no
    reason to doubt the record."""
    given = settings.launch.data_dir
    if settings.task.hub_files(given) is not None:
        return  # pinned
    try:
        names = other_rows(found, settings.task.load(given, settings.seed))
    except (OSError, ValueError):
        return
    if names:
        raise ConfigError(
            f"{settings.run_id} is done on other rows of {names} than data_dir={given} has; task.name=NAME makes it a "
            "run of its own, force=true replaces its record"
        )


def other_rows(found: Record, data: Mapping[str, Split]) -> str:
    """The splits whose rows are not those of the record, by name; "" where all are."""
    known = {name: split.get("sha256") for name, split in found.data.items()}
    return ", ".join(name for name, split in data.items() if known.get(name) != split.sha256)
