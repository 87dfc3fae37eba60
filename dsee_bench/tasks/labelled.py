"""From rows to examples: the checks that every task of texts with a class or a number shares."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dsee_bench import metrics
from dsee_bench.system.errors import shown
from dsee_bench.tasks.example import Example, encodable
from dsee_bench.tasks.rows import BrokenRows, Row, class_names, read_rows

LabelKind = Literal["classification", "regression"]
LISTED = 30  # classes that an error names
YAML_WORDS = ("yes", "no", "on", "off", "y", "n")
ReadLabel = Callable[[Row, object], int | float]


def check_task(*, kind: LabelKind, labels: Sequence[str], metric_names: Sequence[str], splits: Iterable[str]) -> None:
    """Raise ValueError unless these settings can be those of one task."""
    if kind == "regression" and labels:
        raise ValueError(f"labels must be [] for regression, got {list(labels)}; kind=classification has classes")
    if kind == "classification" and len(labels) < 2:
        raise ValueError(f"labels must name at least two classes in class order, got {list(labels)}")
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels names a class twice: {list(labels)}")
    metrics.check(metric_names, kind=kind, classes=len(labels) if kind == "classification" else None)
    if not {"train", "dev"} <= set(splits):
        raise ValueError(f"a task needs a file for the splits train and dev, got {sorted(splits) or 'none'}")


@dataclass(frozen=True)
class Layout:
    """How files lay out their rows."""

    columns: tuple[str, ...] | None  # the columns' names; None: the file states them
    texts: tuple[str, ...]  # the columns of the texts
    label: str  # the column of the label
    written: tuple[str, ...] | None  # the classes as the files write them, () for numbers; None: by their index
    broken_rows: BrokenRows  # what to do with a TSV row of too few or too many fields


def read_examples(files: Iterable[Path], labels: Sequence[str], layout: Layout) -> Iterator[Example]:
    """Yield each row of `files` as an example; `labels` are the task's classes, () for numbers."""
    by_index, label = layout.written is None, layout.label
    written = [str(index) for index in range(len(labels))] if layout.written is None else layout.written
    for path in files:
        names = class_names(path, label) if labels and by_index else None
        if names is not None and names != tuple(labels):  # its numbers mean the file's classes
            raise ValueError(
                f"{path} has the classes {list(names)}, the task's labels are {list(labels)}; "
                f"set task.labels=[{','.join(names)}]"
            )
        rows = read_rows(path, layout.columns, layout.broken_rows)
        read_label = class_of(written) if labels else number_of
        yield from examples(path, rows, texts=layout.texts, label=label, read_label=read_label)


def unlabelled(path: Path, rows: Iterable[Row], texts: Sequence[str]) -> Iterator[Example]:
    """Yield the texts of each row of `path` as an example without a label; other columns are not read."""
    return examples(path, rows, texts=texts, label=None, read_label=lambda row, cell: 0)


def examples(
    path: Path, rows: Iterable[Row], *, texts: Sequence[str], label: str | None, read_label: ReadLabel
) -> Iterator[Example]:
    """Yield each row of `path` as an example; ValueError naming file, line and rule for a row that is none."""
    row = None
    for row in rows:
        missing = [column for column in (*texts, label) if column is not None and column not in row.cells]
        if missing:
            raise ValueError(f"{row.where}: no column {missing[0]!r}; the columns are {', '.join(row.cells)}")
        yield Example(_texts(row, texts), None if label is None else read_label(row, row.cells[label]))
    if row is None:
        raise ValueError(f"{path} holds no row")


def _texts(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the texts as they stand, white space kept; one of a pair may be empty (QQP has such questions)."""
    texts = []
    for column in columns:
        cell = row.cells[column]
        if not isinstance(cell, str):
            raise ValueError(
                f"{row.where}: expected a text in column {column!r}, found {shown(cell)}; write it in quotes"
            )
        if not encodable(cell):
            raise ValueError(f"{row.where}: column {column!r} holds half a surrogate pair, which is no character")
        texts.append(cell)
    if not any(map(str.strip, texts)):
        raise ValueError(f"{row.where}: expected a text in column {columns[0]!r}, found nothing")
    return tuple(texts)


def class_of(written: Sequence[str]) -> ReadLabel:
    """Return a reader of cells that hold one of `written`, the classes in order.

    A cell may hold the text, or the number, true or false that it spells; 1.0, which pandas makes of 1 where other
    cells are empty, spells 1 too.
    """
    index: dict[Any, int] = {name: position for position, name in enumerate(written)}

    def read(row: Row, cell: object) -> int:
        name = spelled(cell)
        if isinstance(cell, float) and cell.is_integer() and name not in index:
            name = str(int(cell))
        if not isinstance(name, str) or name not in index:
            numbered = isinstance(cell, int) and not isinstance(cell, bool) and "0" not in index
            by_place = "; for classes by their number, task.label_as=index" if numbered else ""
            taken = {"true", "false"} & index.keys() and str(cell).lower() in YAML_WORDS
            quoted = "; YAML reads yes, no, on and off as true and false, so write them in quotes" if taken else ""
            raise ValueError(
                f"{row.where}: unknown label {shown(cell)}; expected one of {_listed(written)}{by_place}{quoted}"
            )
        return index[name]

    return read


def spelled(value: object) -> Any:
    """Return the text that a file has for a number, true or false; other values stay as they are."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else value


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{', '.join(map(shown, names[:LISTED]))}{more}"


def number_of(row: Row, cell: object) -> float:
    """Read a cell that holds a finite number, to single precision: 2.11111111111111 becomes 2.1111112.

    The hub holds STS-B's scores in 32 bits and a model is trained on 32 bits; so both sources give the same number.
    """
    from numpy import float32

    try:
        number = float(cell) if isinstance(cell, str | int | float) and not isinstance(cell, bool) else math.nan
    except (ValueError, OverflowError):  # no number, or a whole one of hundreds of digits
        number = math.nan
    if not abs(number) < 3e38:  # nan, and what 32 bits cannot hold
        raise ValueError(f"{row.where}: expected a finite number as label, found {shown(cell)}")
    return float(str(float32(number)))
