"""Files whose ending does not say how they are written, and files that hold more than one table.

format    the name of a format, for a file of another ending: rt-polarity.all, TREC.train.raw
pattern   each line is a row, and the named groups of a regular expression its columns: "(?P<label>\\d) (?P<text>.*)"
folders   each folder below is a class and each file in it a text: aclImdb/train/pos/0_9.txt
FILE#KEY  the rows under a key of a JSON file that holds all splits: data_full.json#train
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsee_bench.system.errors import shown
from dsee_bench.system.sources import KEY, read_content
from dsee_bench.tasks.rows import BrokenRows, Row, decoded, json_cells, json_value, read_lines, read_rows

Format = Literal["tsv", "csv", "json", "jsonl", "parquet", "txt", "folders"]


@dataclass(frozen=True)
class Form:
    """How files are written."""

    columns: tuple[str, ...] | None = None  # their names, where the file has none
    format: Format | None = None  # None: as the ending says
    encoding: str | None = None  # None: UTF-8
    pattern: str | None = None  # regular expression of a line; its named groups are the columns
    delimiter: str | None = None  # of the fields of a file that is quoted as CSV is
    broken_rows: BrokenRows = "error"

    def __post_init__(self) -> None:
        if self.pattern is not None:
            try:
                groups = re.compile(self.pattern).groupindex
            except re.error as error:
                raise ValueError(f"pattern={shown(self.pattern)} is no regular expression: {error}") from error
            if not groups:
                raise ValueError(f"pattern={shown(self.pattern)} names no column; write (?P<text>.*) for each")
        try:
            "".encode(self.encoding or "utf-8")
        except LookupError as error:
            raise ValueError(f"encoding={self.encoding} is not known; latin-1 and utf-8 are usual") from error

    def rows(self, path: Path) -> Iterator[Row]:
        """Yield the rows of a file, or of a folder of folders."""
        name, mark, key = path.name.partition(KEY)
        if mark and not path.exists():
            return self._under(path.with_name(name), key)
        if self.format == "folders":
            return self._folders(path)
        if self.pattern is not None:
            return self._matched(path)
        return read_rows(
            path, self.columns, self.broken_rows, self.delimiter, format=self.format, encoding=self.encoding
        )

    def _matched(self, path: Path) -> Iterator[Row]:
        whole = re.compile(self.pattern or "", re.DOTALL)
        for number, line in read_lines(path, self.encoding):
            text = line.removesuffix("\r")
            found = whole.fullmatch(text)
            if found is not None:
                yield Row(path, number, found.groupdict())
            elif text:
                raise ValueError(f"{path}, line {number}: {shown(text)} is no line of the pattern {self.pattern}")

    def _folders(self, path: Path) -> Iterator[Row]:
        if not path.is_dir():
            raise FileNotFoundError(f"there is no folder {path}; its folders are the classes, their files the texts")
        for folder in sorted(child for child in path.iterdir() if child.is_dir()):
            for file in sorted(child for child in folder.iterdir() if child.is_file()):
                text = decoded(str(file), read_content(file), self.encoding)
                yield Row(file, 1, {"label": folder.name, "text": text, "file": file.name})

    def _under(self, path: Path, key: str) -> Iterator[Row]:
        """Yield the rows under a key of a JSON object: objects, or lists whose items `columns` names."""
        value = json_value(str(path), decoded(str(path), read_content(path), self.encoding))
        for step in key.split("."):
            if not isinstance(value, Mapping) or step not in value:
                known = ", ".join(map(str, value)) if isinstance(value, Mapping) else "no keys"
                raise ValueError(f"{path} has no rows under {key!r}; there are {known}")
            value = value[step]
        if not isinstance(value, list):
            raise ValueError(f"{path}: expected a list of rows under {key!r}, found {shown(value)}")
        for number, item in enumerate(value, start=1):
            where = f"{path}, {key}, row {number}"
            cells = self._named(where, item) if isinstance(item, list) else json_cells(where, item)
            yield Row(path, number, cells, "row")

    def _named(self, where: str, item: Sequence[object]) -> Mapping[str, object]:
        if self.columns is None or len(self.columns) != len(item):
            raise ValueError(f"{where}: a list of {len(item)}; name as many columns by task.columns=[A,B,...]")
        return dict(zip(self.columns, item, strict=True))
