"""Records that were read and checked before, so that a report of thousands starts in seconds: `work/records.cache`.

One SQLite file, safe for several processes. An entry counts only for the very file it was made from (size, times,
inode) and for the same code of this package, and every entry has a checksum: a cache that is damaged, locked or cannot
be written only costs time. What stands in many records alike (settings, costs, packages) is kept once.
"""

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, Self

from dsee_bench import record
from dsee_bench.record import Cost, Deployment, Record, Retained, Score, StageLog
from dsee_bench.report.records import GROUPS, read_usable
from dsee_bench.system.files import kind

FILE = "records.cache"  # in the work folder
LONG = ("curve", "dev", "sparsity_by_site")  # facts of stages that are left out: only figures show them
YOUNG = 0.1  # seconds, some ticks of the kernel: a file changed again within them may look the same
YOUNG_COARSE = 2.0  # where times are whole hundredths of a second: FAT, old network file systems
WAIT = 5.0  # seconds, for another process that writes
BATCH = 1000  # records in one transaction
CHECKSUM = 8  # bytes
TABLES = {
    "code": "digest TEXT",
    "records": "name TEXT PRIMARY KEY, file TEXT, summary BLOB, rest BLOB",
    "shared": "id INTEGER PRIMARY KEY, text TEXT",
}

Part = Literal["summary", "rest"]


class RecordCache:
    """The records of one results folder: each is read and checked once, and again when its file has changed.

    `part` is what is wanted of a record: "summary", its state, seed, command and the names that identify it; or
    "rest", all but LONG.
    """

    def __init__(self, results_dir: Path, part: Part = "rest") -> None:
        self._runs = results_dir / "runs"
        self._part = part
        self._store = _Store.open(results_dir / "work" / FILE)
        self._shared: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close({path.stem for path in record.paths(self._runs.parent)})

    def read(self, path: Path) -> Record:
        """Return the record at `path`; ValueError as from `read_usable`."""
        before = _identity(path)
        with suppress(_Missing):
            return self._record(json.loads(self._store.get(path.stem, before, self._part)))
        read = read_usable(path)
        summary, rest = _summary(read), _rest(read, self._share)
        if before is not None and before == _identity(path) and _settled(path):
            self._store.put(path.stem, before, summary, rest)
        return self._record(rest if self._part == "rest" else summary)

    def _record(self, content: dict[str, Any]) -> Record:
        if self._part == "summary":
            return Record(**content)
        shared = {**content, "costs": tuple(map(self._cost, content["costs"]))}
        for field in ("config", "made_by", "data"):
            shared[field] = {key: self._value(value) for key, value in content[field].items()}
        shared["recipe"] = self._value(content["recipe"])
        shared["scores"] = tuple(Score(**score) for score in content["scores"])
        shared["engines"] = tuple(map(_deployment, content["engines"]))
        shared["retention"] = tuple(Retained(**score) for score in content["retention"])
        shared["stages"] = tuple(StageLog(*stage) for stage in content["stages"])
        return Record(**shared)

    def _share(self, value: object) -> int:
        number = self._store.share(value)
        self._shared.setdefault(number, value)
        return number

    def _value(self, value: Any) -> Any:
        """A value as it was: one that is kept once stands as a list of its number."""
        if not isinstance(value, list):
            return value
        (number,) = value
        if number not in self._shared:
            self._shared[number] = json.loads(self._store.shared(number))
        return self._shared[number]

    def _cost(self, number: int) -> Cost:
        cost = self._value([number])
        if not isinstance(cost, Cost):
            cost = self._shared[number] = Cost(**cost)
        return cost


class _Missing(Exception):
    """The cache has no valid entry."""


class _Store:
    """The SQLite file, or nothing where there can be none: then every entry is missing and nothing is kept."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None) -> None:
        self._path = path
        self._connection = connection
        self._damaged = False
        self._new: list[tuple[str, str, bytes, bytes]] = []
        self._new_shared: dict[int, str] = {}

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, or make it; a damaged one, or one that other code wrote, is made anew."""
        if kind(path.parent.parent) is None or kind(path) not in (None, "a file"):
            return cls(path, None)  # no results there, or something that nothing is written through
        for _ in range(2):
            try:
                path.parent.mkdir(exist_ok=True)
                connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
                try:
                    _prepare(connection)
                    return cls(path, connection)
                except BaseException:
                    connection.close()
                    raise
            except (sqlite3.OperationalError, OSError):  # locked, read-only, no room
                return cls(path, None)
            except sqlite3.DatabaseError:
                _remove(path)
        return cls(path, None)

    def get(self, name: str, file: str | None, part: Part) -> bytes:
        """Return what was kept of the file; _Missing unless it is the same file and the entry is whole."""
        row = self._row(f"SELECT file, {part} FROM records WHERE name = ?", name)
        if row[0] != file or not isinstance(row[1], bytes):
            raise _Missing
        sealed, content = row[1][:CHECKSUM], row[1][CHECKSUM:]
        if sealed != _checksum(f"{name} {file} {part} ".encode() + content):
            raise _Missing
        return content

    def shared(self, number: int) -> str:
        """Return the text that is kept under its checksum; _Missing where it is not whole."""
        (text,) = self._row("SELECT text FROM shared WHERE id = ?", number)
        if not isinstance(text, str) or _number(text) != number:
            raise _Missing
        return text

    def _row(self, query: str, key: str | int) -> tuple[Any, ...]:
        row = None
        if self._connection is not None:
            with self._noting_damage():
                row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            raise _Missing
        return tuple(row)

    def put(self, name: str, file: str, summary: dict[str, Any], rest: dict[str, Any]) -> None:
        """Keep an entry; it is written with others, at the latest when the store is closed."""
        from pydantic_core import to_json  # not at the top: what is kept is read without pydantic

        if self._connection is None:
            return
        parts = []
        for part, content in (("summary", summary), ("rest", rest)):
            text = to_json(content)
            parts.append(_checksum(f"{name} {file} {part} ".encode() + text) + text)
        self._new.append((name, file, parts[0], parts[1]))
        if len(self._new) >= BATCH:
            self._write()

    def share(self, value: object) -> int:
        """Keep a value once, and return its number."""
        from pydantic_core import to_json

        text = to_json(value).decode()
        number = _number(text)
        self._new_shared[number] = text
        return number

    def close(self, names: set[str]) -> None:
        """Write what is new and drop what is of no file any more."""
        self._write()
        if self._connection is None:
            return
        with closing(self._connection), self._noting_damage():
            known = {name for (name,) in self._connection.execute("SELECT name FROM records")}
            if gone := known - names:
                self._connection.executemany("DELETE FROM records WHERE name = ?", [(name,) for name in gone])
        if self._damaged:
            _remove(self._path)

    @contextmanager
    def _noting_damage(self) -> Iterator[None]:
        """Go on after an error of SQLite; a damaged file is removed in the end, and the next report makes it anew."""
        try:
            yield
        except sqlite3.OperationalError:  # locked, no room
            pass
        except sqlite3.DatabaseError:
            self._damaged = True

    def _write(self) -> None:
        if self._connection is None or not self._new:
            return
        with self._noting_damage():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany("REPLACE INTO shared VALUES (?, ?)", self._new_shared.items())
                self._connection.executemany("REPLACE INTO records VALUES (?, ?, ?, ?)", self._new)
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._connection.rollback()
                raise
        self._new, self._new_shared = [], {}


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables anew unless the same code filled them."""
    connection.execute("PRAGMA synchronous = OFF")  # a machine that goes down costs the cache, never a wrong entry
    digest = _code()
    with suppress(sqlite3.OperationalError):  # no such table
        if connection.execute("SELECT digest FROM code").fetchall() == [(digest,)]:
            return
    connection.execute("BEGIN IMMEDIATE")
    for table, columns in TABLES.items():
        connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(f"CREATE TABLE {table} ({columns})")
    connection.execute("INSERT INTO code VALUES (?)", (digest,))
    connection.execute("COMMIT")


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-journal"):
        with suppress(OSError):
            path.with_name(name).unlink(missing_ok=True)


def _identity(path: Path) -> str | None:
    """What a changed file cannot keep: any write or exchange of it sets a time that no program can set."""
    try:
        status = path.stat()
    except OSError:
        return None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _settled(path: Path) -> bool:
    """Whether the file is so old that its next change will have another time."""
    status = path.stat()
    coarse = status.st_ctime_ns % 10**7 == 0
    return time.time() - max(status.st_mtime, status.st_ctime) > (YOUNG_COARSE if coarse else YOUNG)


def _code() -> str:
    """A checksum of this package's files by name, size and time: other code may judge a record otherwise."""
    return _checksum("\n".join(sorted(_sources(Path(__file__).parents[1]))).encode()).hex()


def _sources(folder: str | Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _sources(entry.path)
            elif entry.name.endswith(".py"):
                yield f"{entry.path} {entry.stat().st_size} {entry.stat().st_mtime_ns}"


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECKSUM).digest()


def _number(text: str) -> int:
    return int.from_bytes(_checksum(text.encode()), "big", signed=True)  # SQLite's integers have a sign


def _deployment(content: dict[str, Any]) -> Deployment:
    pairs = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
    return Deployment(**content | pairs | {"scores": tuple(Score(**score) for score in content["scores"])})


def _summary(read: Record) -> dict[str, Any]:
    """The fields of a Record that `dsee-report status` looks at."""
    config: dict[str, Any] = {
        group: {"name": read.config[group].get("name")} for group in GROUPS if group in read.config
    }
    if "seed" in read.config:
        config["seed"] = read.config["seed"]
    error = (read.error or "").strip().splitlines()[-1:]
    made_by = {"command": read.made_by.get("command", "")} if read.status != "finished" else {}  # to run it again
    fields = {"run_id": read.run_id, "status": read.status, "config": config, "made_by": made_by}
    return {**fields, "error": error[0] if error else None}


def _rest(read: Record, share: Callable[[object], int]) -> dict[str, Any]:
    """The fields of a Record without LONG; what others may have too stands as a list of the number `share` gave it."""

    def once(value: object) -> object:
        return [share(value)] if isinstance(value, dict | list) else value

    fields = dict(vars(read))
    for name in ("config", "made_by", "data"):
        fields[name] = {key: once(value) for key, value in fields[name].items()}
    fields["recipe"] = once(read.recipe)
    fields["scores"] = [vars(score) for score in read.scores]
    fields["retention"] = [vars(score) for score in read.retention]
    fields["costs"] = [share(vars(cost)) for cost in read.costs]
    fields["engines"] = [asdict(deployment) for deployment in read.engines]
    fields["stages"] = [list(vars(stage).values()) for stage in map(_short, read.stages)]
    return fields


def _short(stage: StageLog) -> StageLog:
    return replace(stage, facts={name: value for name, value in stage.facts.items() if name not in LONG})
