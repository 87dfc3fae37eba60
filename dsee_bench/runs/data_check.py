"""Guard against reusing a finished run on other data: the content of its data files is not part of the run id.

The work folder has a note of the files that the rows were read from, with size and times, and of the checksums of the
rows. Where one differs, or there is no note (a record from another machine), the rows are loaded and compared with the
record's checksums.
"""

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dsee_bench.config import ConfigError
from dsee_bench.monitoring import console
from dsee_bench.plan import Settings
from dsee_bench.record import Record
from dsee_bench.system.files import make_room, write_atomically
from dsee_bench.tasks.example import Split

NAME = "rows.json"  # in the work folder, since records name no paths of a machine


def note(work: Path, data_dir: Path | None, data: Mapping[str, Split[Any]]) -> None:
    """Write the note on the files that the rows were read from; no error where nothing can be written."""
    files = {path for split in data.values() for path in split.files}
    with contextlib.suppress(OSError):
        make_room(work / NAME)
        rows = {name: split.sha256 for name, split in data.items()}
        write_atomically(work / NAME, json.dumps({"rows": rows, **_now(data_dir, files)}, indent=1))


def doubtful(work: Path, data_dir: Path | None, record: Record) -> bool:
    """Return whether the rows may differ from the record's: another folder, a changed file, or no note."""
    try:
        noted = json.loads((work / NAME).read_text(encoding="utf-8"))
        rows = {name: split.get("sha256") for name, split in record.data.items()}
        return bool(noted != {"rows": rows, **_now(data_dir, [Path(name) for name in noted["files"]])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no note, a damaged one, or no file
        return True


def _now(data_dir: Path | None, files: Collection[Path]) -> dict[str, Any]:
    folder = "" if data_dir is None else str(data_dir.expanduser().resolve())
    return {"data_dir": folder, "cwd": _cwd(data_dir, files), "files": _stamps(files)}


def _cwd(data_dir: Path | None, files: Collection[Path]) -> str:
    """Return the working directory, if files below it were read without a `data_dir`; else ""."""
    below = data_dir is None and any(path.is_relative_to(Path.cwd()) for path in files)
    return str(Path.cwd()) if below else ""


def _stamps(files: Collection[Path]) -> dict[str, list[int]]:
    """Return size and times of files."""
    stats = {str(path): path.stat() for path in sorted(files)}
    return {path: [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats.items()}


def check_rows(settings: Settings, record: Record) -> None:
    """ConfigError if the data have other rows than the record, or unreadable ones; missing files are logged."""
    data_dir = settings.launch.data_dir
    try:
        data = settings.load_data()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            console.output(
                f"{settings.run_id}: its data are missing, so they were not compared with the record: {error}"
            )
            return
        raise ConfigError(
            f"{settings.run_id} is done, and its data cannot be compared with it: {error}; repair them, or force=true"
        ) from error
    names = other_rows(record, data)
    if names:
        where = "the data" if data_dir is None else f"data_dir={data_dir}"
        raise ConfigError(
            f"{settings.run_id} is done on other rows of {names} than {where} has; task.name=NAME makes it a run of "
            "its own, force=true replaces its record"
        )
    note(settings.work, data_dir, data)


def other_rows(record: Record, data: Mapping[str, Split[Any]]) -> str:
    """Return the names of the splits whose rows differ from those of the record; "" for none."""
    known = {name: split.get("sha256") for name, split in record.data.items()}
    if not known:
        return ""
    return ", ".join(name for name, split in data.items() if known.get(name) != split.sha256)
