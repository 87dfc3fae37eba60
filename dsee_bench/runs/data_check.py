"""Guard against reusing a finished run on other data: the content of its data files is not part of the run id.

The work folder notes which files the rows were read from, with size and times of each, and the checksums of the rows.
Where one differs, or where nothing was noted (a record that came from elsewhere), the rows are loaded and held against
the record's checksums.
"""

import contextlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dsee_bench.config import ConfigError
from dsee_bench.monitoring import console
from dsee_bench.plan import Settings
from dsee_bench.record import Record, write_atomically
from dsee_bench.system.files import make_room
from dsee_bench.tasks.example import Split

NAME = "rows.json"  # in the run's work folder, which is nobody else's: records name no machine's paths


def note(work: Path, data_dir: Path | None, data: Mapping[str, Split[Any]]) -> None:
    """Remember the files that the run's rows were read from; no error where nothing can be written."""
    files = {path for split in data.values() for path in split.files}
    with contextlib.suppress(OSError):
        make_room(work / NAME)
        rows = {name: split.sha256 for name, split in data.items()}
        write_atomically(work / NAME, json.dumps({"rows": rows, **_now(data_dir, files)}, indent=1))


def doubtful(work: Path, data_dir: Path | None, found: Record) -> bool:
    """Whether the rows may differ from the record's: another folder, a file or its folder that changed, no note."""
    try:
        noted = json.loads((work / NAME).read_text(encoding="utf-8"))
        rows = {name: split.get("sha256") for name, split in found.data.items()}
        return bool(noted != {"rows": rows, **_now(data_dir, [Path(name) for name in noted["files"]])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # absent, damaged, or a file that is gone
        return True


def _now(data_dir: Path | None, files: Collection[Path]) -> dict[str, Any]:
    return {"data_dir": _place(data_dir), "cwd": _cwd(data_dir, files), "files": _stamps(files)}


def _place(data_dir: Path | None) -> str:
    return "" if data_dir is None else str(data_dir.expanduser().resolve())


def _cwd(data_dir: Path | None, files: Collection[Path]) -> str:
    """The working directory, if files below it were read without a `data_dir`; else ""."""
    below = data_dir is None and any(path.is_relative_to(Path.cwd()) for path in files)
    return str(Path.cwd()) if below else ""


def _stamps(files: Collection[Path]) -> dict[str, list[int]]:
    """Size and times of files."""
    found = {}
    for path in sorted(files):
        status = path.stat()
        found[str(path)] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    return found


def check_rows(settings: Settings, found: Record, work: Path) -> None:
    """ConfigError if the data have other rows than the run was done on, or rows that cannot be read; the same ones are
    noted. A file that is gone is no reason to doubt the record, but it is said."""
    given = settings.launch.data_dir
    try:
        data = settings.load_data()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            console.output(
                f"{settings.run_id}: its data are missing, so they were not compared with the record: {error}"
            )
            return
        raise ConfigError(
            f"{settings.run_id} is done, and its data cannot be held against it: {error}; mend them, or force=true"
        ) from error
    names = other_rows(found, data)
    if names:
        where = "the data" if given is None else f"data_dir={given}"
        raise ConfigError(
            f"{settings.run_id} is done on other rows of {names} than {where} has; task.name=NAME makes it a run of "
            "its own, force=true replaces its record"
        )
    note(work, given, data)


def other_rows(found: Record, data: Mapping[str, Split[Any]]) -> str:
    """The splits whose rows are not those of the record, by name; "" where all are."""
    known = {name: split.get("sha256") for name, split in found.data.items()}
    if not known:
        return ""
    return ", ".join(name for name, split in data.items() if known.get(name) != split.sha256)
