"""Rows that lie inside the objects of a JSON file, as SQuAD's questions in `data.paragraphs.qas`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from dsee_bench.tasks.rows import Row


def inner_rows(rows: Iterator[Row], path: str) -> Iterator[Row]:
    """Yield a row for each object at a dotted path of lists, or of objects, in each row of a file.

    A row has the fields of its object and of all objects around it; of two with one name the inner one counts, and
    `qas.id` and `paragraphs.id` name them apart.
    """
    number = 0
    for row in rows:
        for cells in _objects(row, dict(row.cells), path.split(".")):
            number += 1
            yield replace(row, line=number, cells=cells, counted="row")


def _objects(row: Row, around: dict[str, Any], steps: list[str]) -> Iterator[dict[str, Any]]:
    if not steps:
        yield around
        return
    step, *rest = steps
    if step not in around:
        there = ", ".join(map(str, around)) or "nothing"
        raise ValueError(f"{row.where}: no {step!r} on the way to task.records; there is {there}")
    inner = around.pop(step)
    for item in inner if isinstance(inner, list) else [inner]:
        fields = item if isinstance(item, Mapping) else {step: item}
        named = {f"{step}.{name}": value for name, value in fields.items()}
        yield from _objects(row, {**around, **named, **fields}, list(rest))
