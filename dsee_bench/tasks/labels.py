"""Cells that hold a label: a class, a number, or several labels."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dsee_bench.system.errors import shown
from dsee_bench.tasks.rows import Row

LISTED = 30  # classes that an error names
MOST_CLASSES = 1000  # that are found in rows; more are a text or a number
YAML_WORDS = ("yes", "no", "on", "off", "y", "n")
WHOLE = re.compile(r"-?\d+\.0")  # a whole number, as pandas writes it where other cells are empty
SWITCHES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}  # cells of a column for one label
Label = int | float | tuple[int, ...]
ReadLabel = Callable[[Row, Any], Label | None]  # None: the row has no label and is left out


def class_of(written: Sequence[str]) -> ReadLabel:
    """Return a reader of cells that hold one of `written`, the classes in order.

    A cell may hold the text, or the number, true or false that it spells; 1.0, which pandas makes of 1 where other
    cells are empty, spells 1 too, and True spells true.
    """
    index: dict[Any, int] = {name: position for position, name in enumerate(written)}

    def read(row: Row, cell: object) -> int:
        name = spelled(cell)
        if isinstance(name, str) and name not in index:  # a list is no key
            name = name.removesuffix(".0") if WHOLE.fullmatch(name) else name
            name = name.lower() if name in ("True", "False") else name  # as pandas writes them
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


def labels_in(labels: Sequence[str], one: ReadLabel, separator: str | None) -> ReadLabel:
    """Return a reader of cells that hold any number of labels; `one` reads a single label.

    What is read is a row of 0 and 1, one for each of `labels`.
    """

    def read(row: Row, cell: object) -> tuple[int, ...]:
        items = items_of(cell, separator)
        try:
            found: list[Any] = [one(row, item) for item in items]
            chosen = [place for place in found if place is not None]
        except ValueError as error:
            parted = isinstance(cell, str) and separator is None and any(mark in cell for mark in ",;|")
            raise ValueError(f"{error}{'; several in one cell need task.label_separator' if parted else ''}") from error
        twice = [item for at, item in enumerate(chosen) if item in chosen[:at]]
        if twice:
            raise ValueError(
                f"{row.where}: the label {shown(labels[twice[0]])} stands twice in {shown(cell)}; give names or "
                "indices, or a column of 0 and 1 for each label by task.label=[A,B,...]"
            )
        return tuple(int(place in chosen) for place in range(len(labels)))

    return read


def items_of(cell: object, separator: str | None) -> list[object]:
    """Return the labels in a cell: those of a list, or of a text that `separator` parts; none of an empty one."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return []
    if isinstance(cell, list | tuple):
        return list(cell)
    if isinstance(cell, str) and separator is not None:
        return [piece.strip() for piece in cell.split(separator) if piece.strip()]
    return [cell]


def switches(columns: Sequence[str]) -> ReadLabel:
    """Return a reader of a column of 0 and 1 for each label."""

    def read(row: Row, cells: Sequence[object]) -> tuple[int, ...]:
        values = [SWITCHES.get(str(spelled(cell)).lower()) for cell in cells]
        wrong = [at for at, value in enumerate(values) if value is None]
        if wrong:
            raise ValueError(
                f"{row.where}: expected 0 or 1 in column {columns[wrong[0]]!r}, found {shown(cells[wrong[0]])}"
            )
        return tuple(value for value in values if value is not None)

    return read


def sorted_names(cells: Iterable[tuple[Row, object]], label: str) -> tuple[str, ...]:
    """Return the classes that stand in cells of the column `label`, sorted: numbers by size, others as texts."""
    found: set[str] = set()
    for row, cell in cells:
        found.add(_name(row, cell, label))
        if len(found) > MOST_CLASSES:
            raise ValueError(
                f"{row.where}: column {label!r} has more than {MOST_CLASSES} different values; name a column of "
                "classes by task.label, or kind=regression for numbers"
            )
    if all(map(WHOLE.fullmatch, found)):
        found = {name.removesuffix(".0") for name in found}
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return tuple(sorted(found))


def _name(row: Row, cell: object, label: str) -> str:
    name = spelled(cell)
    if isinstance(name, list | tuple):
        raise ValueError(
            f"{row.where}: column {label!r} holds a list, {shown(cell)}; kind=multi_label takes several labels a row"
        )
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f"{row.where}: expected a class in column {label!r}, found {shown(cell)}; give the row one, or leave it out"
        )
    return name


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
