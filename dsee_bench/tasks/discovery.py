"""What the settings of a table task leave open, and where it is found: the commit of a branch, dev, the classes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsee_bench.tasks.labels import items_of, sorted_names
from dsee_bench.tasks.repository import Repository

if TYPE_CHECKING:
    from dsee_bench.tasks.table import Table

DEV = ("validation", "dev", "valid", "val")  # names of the split that is dev, where none is given
COMMIT = 40  # hex digits of a commit


def completed(table: "Table", data_dir: Path | None) -> "Table":
    """Return the task with all that its settings leave open: the commit of a branch, dev, classes.

    Without network and cache the branch and dev stay open; ValueError where the classes are then unknown.
    """
    made = table
    if made.hub is not None and (made.split.dev is None or not _is_commit(made.revision) or made.is_open):
        try:
            made = _on_hub(made, made.repository())
        except ConnectionError:
            if made.is_open:
                raise
    return replace(made, labels=_classes(made, data_dir)) if made.is_open else made


def lacks_dev(table: "Table") -> bool:
    """Return whether it is known that there is no dev split."""
    if table.split.dev is not None or table.hub is None:
        return table.split.dev is None
    try:
        return not {*DEV} & {*table.repository().splits}
    except ConnectionError:
        return False


def _on_hub(table: "Table", repository: Repository) -> "Table":
    dev = table.split.dev or next((name for name in DEV if name in repository.splits), None)
    local = repository.remote.local_copy is not None
    return replace(
        table,
        revision=table.revision if local else repository.remote.revision,
        split=replace(table.split, dev=dev),
        rows=table.rows or _counted(table, repository, dev),
    )


def _counted(table: "Table", repository: Repository, dev: str | None) -> dict[str, int]:
    """Return the sizes of splits that take all rows of a split of the repository."""
    chosen = {**table.expressions, **({} if dev is None else {"dev": dev})}
    return {split: repository.counts[text] for split, text in chosen.items() if text in repository.counts}


def _classes(table: "Table", data_dir: Path | None) -> tuple[str, ...]:
    """Return the classes that the features name, else those of the training rows, sorted."""
    if not isinstance(table.label, str):
        return table.label
    source, label = table.source(data_dir), table.label
    rows = source.resolve(str(table.split.train))
    names = source.classes(rows[0].files[0], label)
    if names is not None and table.label_as != "name":
        return names
    several, separator = table.kind == "multi_label", table.label_separator
    cells = (
        (row, item)
        for row, cell in source.cells(rows, label)
        for item in (items_of(cell, separator) if several else [cell])
    )
    found = sorted_names(cells, label)
    if len(found) == 1 and not several:
        raise ValueError(
            f"every training row has the class {found[0]!r} in column {label!r}; give the classes by task.labels, "
            "another column by task.label, or other rows"
        )
    joined = [name for name in found if several and separator is None and re.search("[,;|]", name)]
    if joined:
        raise ValueError(
            f"the cell {joined[0]!r} in column {label!r} seems to hold several labels; say by task.label_separator "
            "what parts them, or name the labels by task.labels"
        )
    return found


def _is_commit(revision: str) -> bool:
    return len(revision) == COMMIT and set(revision) <= set("0123456789abcdef")
