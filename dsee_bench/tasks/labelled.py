"""From rows to examples: the checks that every task of texts with a class or a number shares."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsee_bench import metrics
from dsee_bench.system.errors import shown
from dsee_bench.tasks.example import Example, encodable
from dsee_bench.tasks.labels import ReadLabel, class_of, number_of
from dsee_bench.tasks.rows import BrokenRows, Row, class_names, read_rows
from dsee_bench.tasks.template import filled

logger = logging.getLogger(__name__)

LabelKind = Literal["classification", "regression", "multi_label", "multiple_choice"]


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
    if kind == "multi_label" and not labels:
        raise ValueError("labels must name at least one label, got []")
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels names a class twice: {list(labels)}")
    metrics.check(metric_names, kind=kind, classes=len(labels) if kind in ("classification", "multi_label") else None)


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
    source: object,
    rows: Iterable[Row],
    *,
    texts: Sequence[str],
    label: str | Sequence[str] | None,
    read_label: ReadLabel,
    empty: bool = False,  # whether a row may be without a text
) -> Iterator[Example]:
    """Yield each row of `source` as an example; ValueError naming file, line and rule for a row that is none.

    Rows without a label are left out, and their number is logged.
    """
    columns = () if label is None else (label,) if isinstance(label, str) else tuple(label)
    row, dropped = None, 0
    for row in rows:
        cells = [filled(row, column) for column in columns]
        value = read_label(row, cells[0] if isinstance(label, str) else cells) if columns else None
        if columns and value is None:
            dropped += 1
            continue
        yield Example(_texts(row, texts, empty=empty), value)
    if row is None:
        raise ValueError(f"{source} holds no row")
    if dropped:
        logger.warning("%s: %d rows have no label (-1) and are left out", source, dropped)


def check_columns(row: Row, columns: Iterable[str]) -> None:
    """Raise ValueError naming file and line for a row that lacks one of the columns."""
    missing = [column for column in columns if column not in row.cells]
    if missing:
        raise ValueError(f"{row.where}: no column {missing[0]!r}; the columns are {', '.join(row.cells)}")


def _texts(row: Row, columns: Sequence[str], *, empty: bool) -> tuple[str, ...]:
    """Return the texts as they stand, white space kept; one of a pair may be empty (QQP has such questions)."""
    texts = [text_of(row, f"column {column!r}", filled(row, column)) for column in columns]
    if not empty and not any(map(str.strip, texts)):
        raise ValueError(f"{row.where}: expected a text in column {columns[0]!r}, found nothing")
    return tuple(texts)


def text_of(row: Row, place: str, cell: object) -> str:
    """Return a cell that holds a text; ValueError naming the place for another."""
    if not isinstance(cell, str):
        raise ValueError(f"{row.where}: expected a text in {place}, found {shown(cell)}; write it in quotes")
    if not encodable(cell):
        raise ValueError(f"{row.where}: {place} holds half a surrogate pair, which is no character")
    return cell
