"""The files of a table task: where they are, and the rows in them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from dsee_bench.monitoring.console import info
from dsee_bench.system.shell import shell_path
from dsee_bench.system.sources import check_shards, find_files
from dsee_bench.tasks import parts
from dsee_bench.tasks.forms import Form
from dsee_bench.tasks.labels import spelled
from dsee_bench.tasks.nested import inner_rows
from dsee_bench.tasks.repository import Repository
from dsee_bench.tasks.rows import BESIDE, FORMATS, Row, class_names, count_rows, read_beside
from dsee_bench.tasks.template import filled


@dataclass(frozen=True)
class Source:
    """The files of a task, in a folder or in the snapshot of a repository."""

    folder: Path
    repository: Repository | None
    expressions: Mapping[str, str]  # of the task's splits, which other expressions may name
    form: Form
    records: str | None = None
    no_label: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # column -> marks of rows left out
    left_out: dict[str, int] = field(default_factory=dict)  # of each file, how many rows

    def resolve(self, expression: str) -> list[parts.Interval]:
        """Return the rows that an expression stands for, with the paths of their files."""
        return parts.resolve(expression, self._files, self.count)

    def names(self, expression: str) -> Iterator[str]:
        """Yield the names of the files in the repository, or patterns, that an expression needs."""
        for part in parts.parts_of(expression):
            yield from self._named(part)

    def _named(self, part: parts.Part) -> Sequence[str]:
        splits = {} if self.repository is None else self.repository.splits
        if part.name in splits:
            check_shards(splits[part.name])
            return splits[part.name]
        if part.is_file:
            return (part.name,)
        own = [each for each in parts.parts_of(self.expressions.get(part.name, "")) if each.is_file]
        if own:
            return tuple(each.name for each in own)
        raise ValueError(
            f"{part.name!r} is no split and no file ({FORMATS}); the splits are {', '.join(sorted(splits)) or 'none'}"
        )

    def _files(self, name: str) -> list[str]:
        found = []
        for each in self._named(parts.Part(name)):
            beside = [self._found(one) for one in each.split(BESIDE)]
            found += [BESIDE.join(files) for files in zip(*beside, strict=True)]
        return found

    def _found(self, name: str) -> list[str]:
        path = shell_path(name, "task file")
        below = (path.parent, path.name) if path.is_absolute() else (self.folder, str(path))
        if self.form.format == "folders":
            return [str(below[0] / below[1])]
        return [str(file) for file in find_files(*below, several=self.repository is None)]

    def paths(self, rows: Sequence[parts.Interval]) -> list[Path]:
        """Return the files of these rows."""
        return [Path(each) for row in rows for file in row.files for each in file.split(BESIDE)]

    def count(self, files: tuple[str, ...]) -> int:
        """Return the rows of files."""
        if self.records is None and not self.no_label and all(file.endswith(".parquet") for file in files):
            return sum(count_rows(Path(file)) for file in files)
        return sum(1 for file in files for _ in self._read(file))

    @property
    def _form(self) -> Form:
        """The form of the files; of a repository what the task leaves open is as its card states it."""
        if self.repository is None:
            return self.form
        columns, delimiter = self.repository.columns, self.repository.separator
        return replace(self.form, columns=self.form.columns or columns, delimiter=self.form.delimiter or delimiter)

    def rows(self, intervals: Sequence[parts.Interval]) -> Iterator[Row]:
        """Yield the rows of intervals, each with its file and line."""
        for interval in intervals:
            every = chain.from_iterable(map(self._read, interval.files))
            yield from islice(every, interval.begin, interval.end)

    def _read(self, file: str) -> Iterator[Row]:
        if BESIDE in file:
            rows = read_beside([Path(each) for each in file.split(BESIDE)], self._form.columns)
        else:
            rows = self._form.rows(Path(file))
        rows = rows if self.records is None else inner_rows(rows, self.records)
        return self._labelled(file, rows) if self.no_label else rows

    def _labelled(self, file: str, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows that have a label, and count the others."""
        left_out = 0
        for row in rows:
            if any(str(spelled(filled(row, column))) in marks for column, marks in self.no_label.items()):
                left_out += 1
                self.left_out[file] = max(self.left_out.get(file, 0), left_out)  # a file is read more than once
            else:
                yield row

    def cells(self, intervals: Sequence[parts.Interval], column: str) -> Iterator[tuple[Row, object]]:
        """Yield each row of intervals and its cell of a column."""
        for row in self.rows(intervals):
            yield row, filled(row, column)

    def classes(self, file: str, column: str) -> tuple[str, ...] | None:
        """Return the classes that the file, or the repository's card, names for a column."""
        own = class_names(Path(file), column)
        return own if own is not None or self.repository is None else self.repository.classes(column)


def left_for_train(intervals: Mapping[str, Sequence[parts.Interval]], source: Source) -> list[parts.Interval]:
    """Return the rows of train without those that dev or test takes by a slice of the same files."""
    train = list(intervals["train"])
    taken = [
        row
        for split, rows in intervals.items()
        for row in rows
        if split != "train" and row.is_slice and row.files in {one.files for one in train}
    ]
    if not taken:
        return train
    counts = {one.files: source.count(one.files) for one in train}
    left = parts.without(taken, train, counts)
    removed = _size(train, counts) - _size(left, counts)
    if not left:
        raise ValueError("dev and test take all rows of train; give task.split.train other rows")
    if removed:
        info(f"  note: train leaves out {removed:,} rows that dev or test takes")
    return left


def _size(rows: Sequence[parts.Interval], counts: Mapping[tuple[str, ...], int]) -> int:
    return sum((counts[row.files] if row.end is None else row.end) - row.begin for row in rows)
