"""The SQLite file under the record cache: entries by name, and values that many share by number.

Safe for several processes. An entry counts only for the file and the code of this package that it was made from, and
has a checksum. A file that is damaged, locked or cannot be written only costs time: what is not there, whole and
current raises `Missing`.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

from dsee_bench.system.files import kind

WAIT = 5.0  # seconds, for another process that writes
BATCH = 1000  # records in one transaction
CHECKSUM = 8  # bytes
TABLES = {
    "code": "digest TEXT",
    "records": "name TEXT PRIMARY KEY, file TEXT, summary BLOB, rest BLOB",
    "shared": "id INTEGER PRIMARY KEY, text TEXT",
}

Part = Literal["summary", "rest"]


class Missing(Exception):
    """The cache has no valid entry."""


class Store:
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
        """Return what was kept of the file; Missing unless it is the same file and the entry is whole."""
        row = self._row(f"SELECT file, {part} FROM records WHERE name = ?", name)
        if row[0] != file or not isinstance(row[1], bytes):
            raise Missing
        sealed, content = row[1][:CHECKSUM], row[1][CHECKSUM:]
        if sealed != _checksum(f"{name} {file} {part} ".encode() + content):
            raise Missing
        return content

    def shared(self, number: int) -> str:
        """Return the text that is kept under its checksum; Missing where it is not whole."""
        (text,) = self._row("SELECT text FROM shared WHERE id = ?", number)
        if not isinstance(text, str) or _number(text) != number:
            raise Missing
        return text

    def _row(self, query: str, key: str | int) -> tuple[Any, ...]:
        row = None
        if self._connection is not None:
            with self._noting_damage():
                row = self._connection.execute(query, (key,)).fetchone()
        if row is None:
            raise Missing
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
