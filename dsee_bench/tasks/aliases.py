"""Classes as a source writes them (task.written), where that is not their name, or several of its are one of ours.

`written` has for each class, in the order of the task's labels, what stands for it: [["0"], ["1"]], or for Ekman's
anger GoEmotions' [anger, annoyance, disapproval]. Where a file or a card names its classes, those are the names.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from dsee_bench.system.errors import shown
from dsee_bench.tasks.labels import ReadLabel, class_of, labels_in, spelled
from dsee_bench.tasks.rows import Row

Written = tuple[tuple[str, ...], ...]


def listed(value: object) -> object:
    """Return `written` with a list for each class; a single name may stand for one."""
    if not isinstance(value, list | tuple):
        return value
    return [[spelled(name) for name in each] if isinstance(each, list | tuple) else [spelled(each)] for each in value]


def check(written: Written, labels: Sequence[str]) -> None:
    """Raise ValueError unless each class has names of its own."""
    if len(written) != len(labels):
        raise ValueError(
            f"written has {len(written)} entries for {len(labels)} labels; give for each class, in the order of "
            "labels, what stands for it"
        )
    names = list(chain(*written))
    twice = [name for at, name in enumerate(names) if name in names[:at]]
    if twice or not all(written):
        raise ValueError(f"written names {shown(twice[0])} twice" if twice else "written has a class without a name")


def reader(
    written: Written,
    names: Sequence[str] | None,  # of a source that names its classes
    source: str,
    *,
    several: bool,  # labels in a cell
    separator: str | None,
) -> ReadLabel:
    """Return a reader of cells that hold names in `written`, or the places of a source's `names`.

    ValueError where the source names a class that is not written.
    """
    flat = list(chain(*written))
    owner = [place for place, each in enumerate(written) for _ in each]
    one = _flat(flat, names, source)
    if not several:
        return lambda row, cell: None if (place := one(row, cell)) is None else owner[place]  # type: ignore[index]
    every = labels_in(flat, one, separator)

    def read(row: Row, cell: Any) -> tuple[int, ...]:
        found: Any = every(row, cell)
        here = {owner[place] for place, value in enumerate(found) if value}
        return tuple(int(place in here) for place in range(len(written)))

    return read


def _flat(flat: Sequence[str], names: Sequence[str] | None, source: str) -> ReadLabel:
    by_name = class_of(flat)
    unknown = [name for name in names or () if name not in flat]
    if unknown:
        raise ValueError(f"{source} has a class {unknown[0]!r} that task.written does not name; it names {flat}")

    def read(row: Row, cell: Any) -> Any:
        if names is not None and str(spelled(cell)) in ("-1", "-1.0"):  # as `datasets` writes that there is none
            return None
        indexed = names is not None and isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell < len(names)
        return by_name(row, names[cell] if indexed and names is not None else cell)

    return read
