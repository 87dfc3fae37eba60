"""The rows of a table task as examples, split by split."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from dsee_bench.monitoring.console import info
from dsee_bench.system.errors import shown
from dsee_bench.tasks import aliases, parts, written
from dsee_bench.tasks.choices import Choosing, place_names, questions
from dsee_bench.tasks.example import CAUSAL, Split, split_of
from dsee_bench.tasks.labelled import examples
from dsee_bench.tasks.labels import ReadLabel, class_in, labels_in, number_of, switches
from dsee_bench.tasks.source import Source, left_for_train

if TYPE_CHECKING:
    from dsee_bench.tasks.table import Table


def load(table: "Table", source: Source) -> dict[str, Split[Any]]:
    """Return every split."""
    intervals = {split: source.resolve(text) for split, text in table.expressions.items()}
    intervals["train"] = left_for_train(intervals, source)
    how = _choosing(table, source, list(chain(*intervals.values()))) if table.kind == "multiple_choice" else None
    read: Counter[str] = Counter()
    loaded = {
        split: split_of(
            split, _examples(table, split, source, rows, read, how), tuple(dict.fromkeys(source.paths(rows)))
        )
        for split, rows in intervals.items()
    }
    if how is not None:
        loaded = {split: replace(rows, places=how.names) for split, rows in loaded.items()}
    for split, rows in loaded.items():
        count = read[split] or len(rows)
        published = table.rows.get(split, count)
        if count != published:
            info(f"  note: {split} of {table.name} has {count:,} rows here, {published:,} as stated")
    for file, count in source.left_out.items():
        if count:
            marks = ", ".join(map(shown, table.no_label))
            info(f"  note: {file}: {count:,} rows have no label ({marks}) and are left out")
    return loaded


def _examples(
    table: "Table",
    split: str,
    source: Source,
    intervals: Sequence[parts.Interval],
    read: Counter[str],
    how: Choosing | None,
) -> Iterator[Any]:
    """Yield the examples of a split; `read` counts rows of which several may be one example."""
    if table.kind in CAUSAL:
        rows = (row for row in source.rows(intervals) if not read.update([split]))
        yield from written.examples(table, split, rows)
        return
    for interval in intervals:
        every, files = source.rows([interval]), ", ".join(interval.files)
        if how is not None:
            yield from questions(every, how, files)
        else:
            read_label = _label_reader(table, source, interval.files[0])
            empty = table.empty_texts == "keep"
            yield from examples(files, every, texts=table.texts, label=table.label, read_label=read_label, empty=empty)


def _label_reader(table: "Table", source: Source, file: str) -> ReadLabel:
    if table.kind == "regression":
        return number_of
    if not isinstance(table.label, str):
        return switches(table.label)
    names = source.classes(file, table.label)
    if table.written is not None:
        return aliases.reader(
            table.written, names, file, several=table.kind == "multi_label", separator=table.label_separator
        )
    one = class_in(table.labels, names, table.label_as, file)
    return labels_in(table.labels, one, table.label_separator) if table.kind == "multi_label" else one


def _choosing(table: "Table", source: Source, intervals: Sequence[parts.Interval]) -> Choosing:
    """Return how rows become questions; the names of places are found in all rows where they are not given."""
    assert isinstance(table.label, str)
    names = source.classes(intervals[0].files[0], table.label)
    by_index = table.label_as == "index" or (names is not None and table.label_as is None)
    how = Choosing(table.texts, table.choice_columns, table.label, table.labels, by_index, table.blank)
    return how if by_index or table.labels else replace(how, names=place_names(source.rows(intervals), how))
