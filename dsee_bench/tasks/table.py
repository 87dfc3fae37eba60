"""Rows of a file, one mapping from column to cell each, with the line it stands on: TSV, CSV, JSON lines, parquet.

Python's own readers are used, since those of pandas and `datasets` cannot say on which line a bad row stands.
"""

import csv
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BrokenRows = Literal["error", "drop"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One row. `line` counts from 1; in a parquet file it is the row, in a CSV file the line the row ends on."""

    path: Path
    line: int
    cells: Mapping[str, object]

    @property
    def where(self) -> str:
        return f"{self.path}, {'row' if self.path.suffix == '.parquet' else 'line'} {self.line}"


def read_rows(path: Path, columns: Sequence[str] | None = None, broken_rows: BrokenRows = "error") -> Iterator[Row]:
    """The rows of `path`, in a format told by its ending.

    TSV: quoting off, split at TAB and line feed only. CSV: quoted as in RFC 4180. Both with a header, unless `columns`
    names the columns of a file without one. JSON lines: one object a line.
    `broken_rows` says what happens to a TSV row with too few or too many fields.
    """
    match path.suffix:
        case ".tsv":
            return read_tsv(path, columns, broken_rows)
        case ".csv":
            return read_csv(path, columns)
        case ".jsonl":
            return read_json_lines(path)
        case ".parquet":
            return read_parquet(path)
    raise ValueError(f"{path} ends in {path.suffix!r}; the formats known are .tsv, .csv, .jsonl and .parquet")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1, without byte order mark and line feed; ended by line feeds alone.

    Not str.splitlines and not text mode: both also split at characters that stand inside GLUE's sentences.
    """
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else (), start=1):
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start})") from error


def read_tsv(path: Path, columns: Sequence[str] | None = None, broken_rows: BrokenRows = "error") -> Iterator[Row]:
    """Rows of TAB-separated fields, quote characters being text."""
    dropped = 0
    for number, line in read_lines(path):
        fields = line.removesuffix("\r").split("\t")
        if columns is None:
            columns = _header(path, fields)
        elif len(fields) == len(columns):
            yield Row(path, number, dict(zip(columns, fields, strict=True)))
        elif broken_rows == "error":
            raise ValueError(_wrong_width(f"{path}, line {number}", columns, fields))
        else:
            dropped += 1
    if dropped:
        logger.warning("%s: %d rows of too few or too many fields left out", path, dropped)


def read_csv(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Rows of comma-separated fields; a quoted field may hold commas, doubled quotes and line breaks."""
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    try:
        for fields in reader:
            if columns is None:
                columns = _header(path, fields)
            elif len(fields) == len(columns):
                yield Row(path, reader.line_num, dict(zip(columns, fields, strict=True)))
            else:
                raise ValueError(_wrong_width(f"{path}, line {reader.line_num}", columns, fields))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a row of CSV ({error})") from error


def read_json_lines(path: Path) -> Iterator[Row]:
    """Rows of JSON objects, one a line."""
    for number, line in read_lines(path):
        try:
            cells = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number}: not JSON ({error.msg} at character {error.pos + 1})") from error
        if not isinstance(cells, dict):
            raise ValueError(f"{path}, line {number}: expected a JSON object, found {line[:40]!r}")
        yield Row(path, number, cells)


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows of a parquet file."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a parquet file: {error}") from error
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        yield Row(path, number, dict(zip(columns, cells, strict=True)))


def class_names(path: Path, column: str) -> tuple[str, ...] | None:
    """The names of the classes that a parquet file made by `datasets` states for `column`; None if it states none."""
    import pyarrow
    from datasets import Features
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a parquet file: {error}") from error
    feature = Features.from_arrow_schema(schema).get(column)
    return tuple(feature.names) if hasattr(feature, "names") else None


def _header(path: Path, fields: list[str]) -> list[str]:
    if len(set(fields)) != len(fields):
        raise ValueError(f"{path}, line 1: the header names a column twice: {', '.join(fields)}")
    return fields


def _wrong_width(where: str, columns: Sequence[str], fields: Sequence[str]) -> str:
    start = " | ".join(fields)[:60]
    return f"{where}: expected {len(columns)} fields ({', '.join(columns)}), found {len(fields)}: {start!r}"
