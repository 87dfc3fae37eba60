"""Rows of a file, one mapping from column to cell each, with the line it stands on: TSV, CSV, JSON, parquet.

The text formats have Python's own readers, since those behind `datasets` cannot say on which line a bad row stands: the
one for CSV (pandas) fills a short row up, and the one for JSON (pyarrow) takes an object that names a key twice.
`datasets` would write the rows of a parquet file to disk once more; pyarrow gives them as they are asked for.
"""

import csv
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from dsee_bench.system.errors import shown
from dsee_bench.system.sources import check_file, opened

BrokenRows = Literal["error", "drop"]
NumberedFields = Iterable[tuple[int, list[str]]]  # line and fields
LINES = (".txt", ".raw", ".tokens", ".source", ".target")  # a text a line
ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".json", *LINES)
FORMATS = ".tsv, .csv, .jsonl, .json, .txt (each also with .gz) and .parquet"
BESIDE = "|"  # between files of lines that belong together line by line: a column each
SEPARATORS = {"\t": "TAB", ";": "';'", "|": "'|'", ",": "','"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

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


def read_rows(
    path: Path,
    columns: Sequence[str] | None = None,
    broken_rows: BrokenRows = "error",
    separator: str | None = None,
    *,
    format: str | None = None,
    encoding: str | None = None,
) -> Iterator[Row]:
    """Yield the rows of `path`, in a format told by its ending; `.gz` after it is unpacked.

    TSV: quote characters are text, fields are split at TAB and rows at line feed only; an empty line at the end is no
    row, unless there is one column alone. CSV: quoted as in RFC 4180, an empty line is no row. Both with a header,
    unless `columns` names the columns of a file without one. JSON lines: one object a line, an empty line is no row.
    JSON: an array of objects, one object, or lines of them. Lines (.txt): a text each. `broken_rows` says what happens
    to a TSV row with too few or too many fields. With a `separator`, a text file is read as CSV whose fields are parted
    by it, quoted as in RFC 4180.
    `format` ("tsv", ...) is for a file of another ending, `encoding` for one that is not UTF-8.
    """
    form = ending(path) if format is None else f".{format}"
    if separator is not None and form in (".csv", ".tsv"):
        return _rows(path, _csv_fields(path, separator, encoding), columns, separator, "error")
    match form:
        case ".tsv":
            return _rows(path, _tsv_fields(path, columns, encoding), columns, "\t", broken_rows)
        case ".csv":
            return _rows(path, _csv_fields(path, ",", encoding), columns, ",", "error")
        case ".jsonl":
            return _json_lines(path, encoding)
        case ".json":
            return _json(path, encoding)
        case ".parquet" if path.suffix == ".parquet":
            return _parquet(path)
        case found if found in LINES:
            return read_beside([path], columns, encoding)
    raise ValueError(f"{path} ends in {path.suffix!r}; the formats known are {FORMATS}")


def read_beside(paths: Sequence[Path], columns: Sequence[str] | None, encoding: str | None = None) -> Iterator[Row]:
    """Yield a row for each line of files of lines, with a column a file: text, or source and target, or `columns`."""
    names = columns or (("text",), ("source", "target"))[min(len(paths), 2) - 1]
    if len(names) != len(paths):
        raise ValueError(f"{BESIDE.join(map(str, paths))} are {len(paths)} columns; name as many by task.columns")
    lines = [(line.removesuffix("\r") for _, line in read_lines(path, encoding)) for path in paths]
    for number, cells in enumerate(zip_longest(*lines), start=1):
        if None in cells:
            ended = ", ".join(str(path) for path, cell in zip(paths, cells, strict=True) if cell is None)
            raise ValueError(f"{ended} ends before line {number}; line n of each file must belong together")
        yield Row(paths[0], number, dict(zip(names, cells, strict=True)))


def ending(path: Path) -> str:
    """Return the ending that names the format, before .gz."""
    return path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix


def count_rows(path: Path, columns: Sequence[str] | None = None, separator: str | None = None) -> int:
    """Return the number of rows that `read_rows` yields."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return int(parquet.read_metadata(check_file(path)).num_rows)
    return sum(1 for _ in read_rows(path, columns, "error", separator))


def read_lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, str]]:
    """Yield each line with its number from 1, without byte order mark and line feed; ended by line feeds alone.

    Not text mode and not str.splitlines: both also split at characters that stand inside GLUE's sentences.
    """
    with opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            if number == 1 and not (line := line.removeprefix(BYTE_ORDER_MARK)):
                return
            text = decoded(f"{path}, line {number}", line.removesuffix(b"\n"), encoding)
            if "\0" in text:
                raise ValueError(f"{path}, line {number}: holds a NUL byte; save it as text in UTF-8 (UTF-16 has many)")
            yield number, text


def decoded(where: str, content: bytes, encoding: str | None) -> str:
    """Return the text that bytes spell; ValueError, beginning with `where`, for bytes of another encoding."""
    try:
        return content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding is None else encoding
        raise ValueError(
            f"{where}: not {name} ({error.reason} at byte {error.start}); save it as UTF-8, or name its encoding"
        ) from error


def _rows(
    path: Path, lines: NumberedFields, columns: Sequence[str] | None, separator: str, broken_rows: BrokenRows
) -> Iterator[Row]:
    dropped = 0
    for number, fields in lines:
        if columns is None:
            columns = _header(f"{path}, line {number}", fields, separator)
        elif len(fields) == len(columns):
            yield Row(path, number, dict(zip(columns, fields, strict=True)))
        elif broken_rows == "error":
            start = " | ".join(fields)[:60]
            raise ValueError(
                f"{path}, line {number}: expected {len(columns)} fields ({', '.join(columns)}), found {len(fields)}: "
                f"{start!r}"
            )
        else:
            dropped += 1
    if dropped:
        logger.warning("%s: %d rows of too few or too many fields left out", path, dropped)


def _tsv_fields(path: Path, columns: Sequence[str] | None, encoding: str | None) -> NumberedFields:
    width, empty = len(columns or ()), []
    for number, line in read_lines(path, encoding):
        fields = line.removesuffix("\r").split("\t")
        width = width or len(fields)
        if fields == [""] and width > 1:
            empty.append(number)  # no row if none follows
            continue
        yield from ((earlier, [""]) for earlier in empty)
        empty.clear()
        yield number, fields


def _csv_fields(path: Path, separator: str, encoding: str | None) -> NumberedFields:
    reader = csv.reader((line + "\n" for _, line in read_lines(path, encoding)), delimiter=separator, strict=True)
    try:
        yield from ((reader.line_num, fields) for fields in reader if fields)
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not a row of CSV ({error})") from error


def _header(where: str, fields: list[str], separator: str) -> list[str]:
    """Return the names of the columns; ValueError for one twice, and for a header with another separator."""
    if len(set(fields)) != len(fields):
        raise ValueError(f"{where}: the header names a column twice: {', '.join(fields)}")
    others = [mark for mark in SEPARATORS if mark != separator and len(fields) == 1 and mark in fields[0]]
    if others:
        raise ValueError(
            f"{where}: the header {shown(fields[0])} is one column; its fields seem to be parted by "
            f"{SEPARATORS[others[0]]}, this format parts them by {SEPARATORS[separator]}; "
            "write it as .csv with commas or as .tsv with TABs"
        )
    return fields


def _json_lines(path: Path, encoding: str | None) -> Iterator[Row]:
    for number, line in read_lines(path, encoding):
        if line.strip():
            where = f"{path}, line {number}"
            yield Row(path, number, json_cells(where, json_value(where, line)))


def _json(path: Path, encoding: str | None) -> Iterator[Row]:
    text = "\n".join(line for _, line in read_lines(path, encoding))
    if not text.lstrip().startswith("[") and not _is_one(text):
        yield from _json_lines(path, encoding)
        return
    value = json_value(str(path), text)
    rows = value if isinstance(value, list) else [value]
    for number, cells in enumerate(rows, start=1):
        yield Row(path, number, json_cells(f"{path}, row {number}", cells), "row")


def _is_one(text: str) -> bool:
    """Return whether a text that spans lines is one JSON object, and not one a line."""
    start = text.lstrip()
    _, line_feed, rest = start.partition("\n")
    if not start.startswith("{") or not line_feed or not rest.strip():
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(start)
    except (ValueError, RecursionError):
        return False
    return not start[end:].strip()


def json_value(where: str, text: str) -> object:
    """Return the JSON value that `text` spells; ValueError, beginning with `where`, for another text."""
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, character {error.colno}" if "\n" in text else f"character {error.pos + 1}"
        raise ValueError(f"{where}: not JSON ({error.msg} at {place})") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a name twice, deep nesting
        raise ValueError(f"{where}: JSON that cannot be read ({error})") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise ValueError(f"an object names a key twice: {', '.join(name for name, _ in pairs)}")
    return cells


def json_cells(where: str, value: object) -> Mapping[str, object]:
    """Return the cells of a row, a JSON object; ValueError, beginning with `where`, for another value."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a JSON object, found {shown(value)}")
    return value


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(check_file(path)) as file:
            names = file.schema_arrow.names
            if len(set(names)) != len(names):
                raise ValueError(f"it names a column twice: {', '.join(names)}")
            rows = (cells for batch in file.iter_batches() for cells in batch.to_pylist())
            for number, cells in enumerate(rows, start=1):
                yield Row(path, number, cells, "row")
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is not a parquet file that can be read: {error}") from error


def class_names(path: Path, column: str) -> tuple[str, ...] | None:
    """Return the classes that a parquet file made by `datasets` names for `column`; None if it names none."""
    if path.suffix != ".parquet":
        return None
    import pyarrow
    from datasets import Features
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(check_file(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not a parquet file that can be read: {error}") from error
    return names_of(Features.from_arrow_schema(schema).get(column))


def names_of(feature: Any) -> tuple[str, ...] | None:
    """Return the classes of a feature of `datasets`: a ClassLabel, or a list of them; None for others."""
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", feature)
    return tuple(map(str, inner.names)) if hasattr(inner, "names") else None
