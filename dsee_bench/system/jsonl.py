"""JSON lines with a checksum each, so that a damaged or cut line is noticed when it is read."""

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dsee_bench.system.files import make_room, opener, set_aside, write_atomically

CHECKSUM = "crc32"  # the last key of a line


def dump(row: Mapping[str, Any]) -> str:
    """Return the row as a line of JSON that ends with a checksum; NaN and infinity are refused."""
    return json.dumps({**row, CHECKSUM: _checksum(row)}, allow_nan=False) + "\n"


def parse(line: str | bytes) -> dict[str, Any] | None:
    """Return the row of a line that `dump` made; None where the line was changed."""
    try:
        row = json.loads(line)
        stated = row.pop(CHECKSUM)
        return row if stated == _checksum(row) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def read(file: Path) -> list[dict[str, Any]]:
    """Return the undamaged rows of a file, none where there is no file.

    A last line without its end, as a killed process leaves it, is left out. A file with other damaged lines is set
    aside, and a new one has the undamaged rows.
    """
    make_room(file)
    if not file.is_file():
        return []
    try:
        content = file.read_bytes()
    except OSError as error:
        set_aside(file, f"cannot be read ({error.strerror})")
        return []
    lines = content.split(b"\n")[:-1]
    rows = [row for row in map(parse, lines) if row is not None]
    damaged = len(lines) - len(rows)
    if damaged:
        set_aside(file, f"has {damaged} damaged of {len(lines)} lines")
        write(file, rows)
    return rows


def write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the rows over the file, whole or not at all."""
    make_room(file)
    write_atomically(file, "".join(map(dump, rows)))


def append(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add the rows at the end of the file, and flush them to disk."""
    with open(file, "a", encoding="utf-8", opener=opener) as stream:
        stream.write("".join(map(dump, rows)))
        stream.flush()
        os.fsync(stream.fileno())


def _checksum(row: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(row, allow_nan=False).encode()):08x}"
