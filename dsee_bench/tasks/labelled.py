"""From rows to examples: the checks that every task of texts with a class or a number shares."""

import logging
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
MOST_CLASSES = 1000  # that are found in rows; more are a text or a number
ReadLabel = Callable[[Row, object], int | float | None]  # None: the row has no label and is left out


def check_task(*, kind: LabelKind, labels: Sequence[str], metric_names: Sequence[str], splits: Iterable[str]) -> None:
    """Raise ValueError unless these settings can be those of one task."""
    check_labels(kind, labels, metric_names)
    if not {"train", "dev"} <= set(splits):
        raise ValueError(f"a task needs a file for the splits train and dev, got {sorted(splits) or 'none'}")


def check_labels(kind: LabelKind, labels: Sequence[str], metric_names: Sequence[str]) -> None:
    """Raise ValueError unless these labels and metrics go with the kind of task."""
    if kind == "regression" and labels:
        raise ValueError(f"labels must be [] for regression, got {list(labels)}; kind=classification has classes")
    if kind == "classification" and len(labels) < 2:
        raise ValueError(f"labels must name at least two classes in class order, got {list(labels)}")
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels names a class twice: {list(labels)}")
    metrics.check(metric_names, kind=kind, classes=len(labels) if kind == "classification" else None)


logger = logging.getLogger(__name__)


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
    source: object, rows: Iterable[Row], *, texts: Sequence[str], label: str | None, read_label: ReadLabel
) -> Iterator[Example]:
    """Yield each row of `source` as an example; ValueError naming file, line and rule for a row that is none.

    Rows without a label are left out, and their number is logged.
    """
    row, dropped = None, 0
    for row in rows:
        missing = [column for column in (*texts, label) if column is not None and column not in row.cells]
        if missing:
            raise ValueError(f"{row.where}: no column {missing[0]!r}; the columns are {', '.join(row.cells)}")
        value = None if label is None else read_label(row, row.cells[label])
        if label is not None and value is None:
            dropped += 1
            continue
        yield Example(_texts(row, texts), value)
    if row is None:
        raise ValueError(f"{source} holds no row")
    if dropped:
        logger.warning("%s: %d rows have no label (-1) and are left out", source, dropped)


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


def class_in(labels: Sequence[str], names: tuple[str, ...] | None, label_as: str | None, file: str) -> ReadLabel:
    """Return a reader of the classes of a file that names its classes `names`, or none.

    A cell may be the index of one of `names`; -1 is no label, as `datasets` writes it. ValueError where they are not
    the task's `labels`.
    """
    by_name, by_index = class_of(labels), class_of([str(index) for index in range(len(labels))])
    if names is None:
        return by_index if label_as == "index" else by_name
    if set(names) != set(labels) or (label_as == "index" and names != tuple(labels)):
        raise ValueError(
            f"{file} has the classes {list(names)}, the task's labels are {list(labels)}; "
            f"set task.labels=[{','.join(names)}]"
        )
    if label_as == "name":
        return by_name
    place = [labels.index(name) for name in names]

    def read(row: Row, cell: object) -> int | None:
        if str(spelled(cell)) in ("-1", "-1.0"):
            return None
        if isinstance(cell, str) and cell in names and not cell.isdigit():
            return by_name(row, cell)  # type: ignore[return-value]
        return place[by_index(row, cell)]  # type: ignore[index]

    return read


def sorted_names(rows: Iterable[Row], label: str) -> tuple[str, ...]:
    """Return the classes that stand in the column `label`, sorted: numbers by size, others as texts."""
    found: set[str] = set()
    for row in rows:
        if label not in row.cells:
            raise ValueError(f"{row.where}: no column {label!r}; the columns are {', '.join(row.cells)}")
        name = spelled(row.cells[label])
        if isinstance(row.cells[label], float) and row.cells[label].is_integer():  # type: ignore[attr-defined]
            name = str(int(name))
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{row.where}: expected a class in column {label!r}, found {shown(row.cells[label])}")
        found.add(name)
        if len(found) > MOST_CLASSES:
            raise ValueError(
                f"{row.where}: column {label!r} has more than {MOST_CLASSES} different values; name a column of "
                "classes by task.label, or kind=regression for numbers"
            )
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return tuple(sorted(found))


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
