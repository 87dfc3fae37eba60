"""Rows of a file, one mapping from column to cell each, with the line it stands on: TSV, CSV, JSON, parquet.

Python's own readers are used, since those of pandas and `datasets` cannot say on which line a bad row stands.
"""

import csv
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsee_bench.system.errors import shown
from dsee_bench.system.sources import check_file, read_content

BrokenRows = Literal["error", "drop"]
FORMATS = ".tsv, .csv, .jsonl, .json (each also with .gz) and .parquet"
SEPARATORS = {"\t": "TAB", ";": "';'", "|": "'|'", ",": "','"}

csv.field_size_limit(2**31 - 1)  # Python's own limit is 131,072 characters; a long field is cut to tokens later

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """One row. `line` counts from 1; in a CSV file it is the line the row ends on, in `.parquet` and in a JSON array
    the row's number."""

    path: Path
    line: int
    cells: Mapping[str, object]
    counted: Literal["line", "row"] = "line"

    @property
    def where(self) -> str:
        return f"{self.path}, {self.counted} {self.line}"


def read_rows(path: Path, columns: Sequence[str] | None = None, broken_rows: BrokenRows = "error") -> Iterator[Row]:
    """The rows of `path`, in a format told by its ending; `.gz` after it is unpacked.

    TSV: quoting off, split at TAB and line feed only. CSV: quoted as in RFC 4180. Both with a header, unless `columns`
    names the columns of a file without one. JSON lines: one object a line. JSON: an array of objects, or lines of them.
    `broken_rows` says what happens to a TSV row with too few or too many fields.
    """
    match path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix:
        case ".tsv":
            return read_tsv(path, columns, broken_rows)
        case ".csv":
            return read_csv(path, columns)
        case ".jsonl":
            return read_json_lines(path)
        case ".json":
            return read_json(path)
        case ".parquet" if path.suffix == ".parquet":
            return read_parquet(path)
    raise ValueError(f"{path} ends in {path.suffix!r}; the formats known are {FORMATS}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line with its number from 1, without byte order mark and line feed; ended by line feeds alone.

    Not str.splitlines and not text mode: both also split at characters that stand inside GLUE's sentences.
    """
    content = read_content(path).removeprefix(b"\xef\xbb\xbf")
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else (), start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}, line {number}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
            ) from error
        if "\0" in text:
            raise ValueError(f"{path}, line {number}: holds a NUL byte; save it as text in UTF-8 (UTF-16 has many)")
        yield number, text


def read_tsv(path: Path, columns: Sequence[str] | None = None, broken_rows: BrokenRows = "error") -> Iterator[Row]:
    """Rows of TAB-separated fields, quote characters being text. An empty line at the end is no row, unless there is
    one column alone."""
    dropped = 0
    lines = [(number, line.removesuffix("\r")) for number, line in read_lines(path)]
    if columns is None and lines:
        columns = _header(f"{path}, line 1", lines.pop(0)[1].split("\t"), "\t")
    columns = columns or ()
    while len(columns) > 1 and lines and not lines[-1][1]:
        lines.pop()
    for number, line in lines:
        fields = line.split("\t")
        if len(fields) == len(columns):
            yield Row(path, number, dict(zip(columns, fields, strict=True)))
        elif broken_rows == "error":
            raise ValueError(_wrong_width(f"{path}, line {number}", columns, fields))
        else:
            dropped += 1
    if dropped:
        logger.warning("%s: %d rows of too few or too many fields left out", path, dropped)


def read_csv(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """Rows of comma-separated fields; a quoted field may hold commas, doubled quotes and line breaks. An empty line is
    no row."""
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    try:
        for fields in reader:
            if not fields:
                continue
            if columns is None:
                columns = _header(f"{path}, line {reader.line_num}", fields, ",")
            elif len(fields) == len(columns):
                yield Row(path, reader.line_num, dict(zip(columns, fields, strict=True)))
            else:
                raise ValueError(_wrong_width(f"{path}, line {reader.line_num}", columns, fields))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a row of CSV ({error})") from error


def read_json_lines(path: Path) -> Iterator[Row]:
    """Rows of JSON objects, one a line; an empty line is no row."""
    for number, line in read_lines(path):
        if line.strip():
            where = f"{path}, line {number}"
            yield Row(path, number, _cells(where, _parsed(where, line)))


def read_json(path: Path) -> Iterator[Row]:
    """Rows of a JSON array of objects; without an array, of objects one a line."""
    text = "\n".join(line for _, line in read_lines(path))
    if not text.lstrip().startswith("["):
        yield from read_json_lines(path)
        return
    rows = _parsed(str(path), text)
    assert isinstance(rows, list)
    for number, cells in enumerate(rows, start=1):
        yield Row(path, number, _cells(f"{path}, row {number}", cells), "row")


def _parsed(where: str, text: str) -> object:
    """The JSON value that `text` spells; ValueError, beginning with `where`, for another text."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, character {error.colno}" if "\n" in text else f"character {error.pos + 1}"
        raise ValueError(f"{where}: not JSON ({error.msg} at {place})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a name twice, deep nesting
        raise ValueError(f"{where}: JSON that cannot be read ({error})") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"an object names a key twice: {', '.join(name for name, _ in pairs)}")
    return found


def _cells(where: str, value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a JSON object, found {shown(value)}")
    return value


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows of a parquet file."""
    import pyarrow  # type: ignore[import-untyped]
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(check_file(path)).read()
        names = table.column_names
        if len(set(names)) != len(names):
            raise ValueError(f"it names a column twice: {', '.join(names)}")
        columns = [column.to_pylist() for column in table.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a parquet file that can be read: {error}") from error
    for number, cells in enumerate(zip(*columns, strict=True), start=1):
        yield Row(path, number, dict(zip(names, cells, strict=True)), "row")


def class_names(path: Path, column: str) -> tuple[str, ...] | None:
    """The names of the classes that a parquet file made by `datasets` states for `column`; None if it states none."""
    import pyarrow
    from datasets import Features
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(check_file(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a parquet file that can be read: {error}") from error
    feature = Features.from_arrow_schema(schema).get(column)
    return tuple(feature.names) if hasattr(feature, "names") else None


def _header(where: str, fields: list[str], separator: str) -> list[str]:
    """The names of the columns; ValueError for one twice, and for a header that another separator parts."""
    if len(set(fields)) != len(fields):
        raise ValueError(f"{where}: the header names a column twice: {', '.join(fields)}")
    hint = _other_separator(fields, separator)
    if hint:
        raise ValueError(f"{where}: the header {shown(fields[0])} is one column; {hint}")
    return fields


def _other_separator(fields: Sequence[str], separator: str) -> str:
    """What to do about a single field that holds another separator; "" for none."""
    used = [mark for mark in SEPARATORS if mark != separator and len(fields) == 1 and mark in fields[0]]
    if not used:
        return ""
    return (
        f"its fields seem to be parted by {SEPARATORS[used[0]]}, this format parts them by {SEPARATORS[separator]}; "
        "write it as .csv with commas or as .tsv with TABs"
    )


def _wrong_width(where: str, columns: Sequence[str], fields: Sequence[str]) -> str:
    start = " | ".join(fields)[:60]
    return f"{where}: expected {len(columns)} fields ({', '.join(columns)}), found {len(fields)}: {start!r}"
