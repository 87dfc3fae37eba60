"""Any data set of texts, with classes, numbers, or texts to write: a repository of the hub, or files in a folder.

dsee-bench task=hub task.hub=OWNER/NAME task.texts=[premise,hypothesis]
dsee-bench task=custom data_dir=DIR task.split.train=a.csv task.split.dev=b.csv task.texts=[review] task.label=mood
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dsee_bench.config.limits import Count
from dsee_bench.hub import HubFiles, get
from dsee_bench.metrics import nlg
from dsee_bench.monitoring.console import info
from dsee_bench.system.shell import shell_path
from dsee_bench.system.sources import check_shards, find_files
from dsee_bench.tasks import parts, written
from dsee_bench.tasks.example import CAUSAL, Split, split_of
from dsee_bench.tasks.generation import Decoding
from dsee_bench.tasks.labelled import LabelKind, check_labels, class_in, examples, number_of, sorted_names, spelled
from dsee_bench.tasks.nested import inner_rows
from dsee_bench.tasks.repository import ALTERNATIVE, Repository, open_repository
from dsee_bench.tasks.rows import BESIDE, FORMATS, Row, class_names, count_rows, read_beside, read_rows

Name = Annotated[str, BeforeValidator(spelled)]  # YAML reads false and 0 as no texts; the files write them as such
Names = Annotated[tuple[Name, ...], BeforeValidator(lambda value: () if value is None else value)]
listed: Any = lambda value: [value] if isinstance(value, str) else value  # noqa: E731
Open = Annotated[tuple[str, ...], BeforeValidator(lambda value: () if value is None else value)]

METRICS = {
    "classification": ("accuracy",),
    "regression": ("pearson", "spearman"),
    **written.METRICS,
}  # if none are given
DEV = ("validation", "dev", "valid", "val")  # names of the split that is dev, where none is given
COMMIT = 40  # hex digits of a commit
TWO_WAYS = (
    "two ways out: task.split.dev=EXPRESSION, such as train[90%:], whose rows train then leaves out; or "
    "train.select_on=validation train.validation=0.1 train.validation_seed=0, which holds out training rows"
)


@dataclass(frozen=True)
class Expressions:
    """The rows of each split: files, patterns, or expressions of `datasets` such as train[:90%]."""

    train: str | None
    dev: str | None
    test: str | None = None  # None: there is no such split


@dataclass(frozen=True)
class Table:
    """A data set; see conf/task/hub.yaml and conf/task/custom.yaml."""

    name: Name | None  # None: of the repository and its configuration
    kind: LabelKind | Literal["generation", "language_modeling"]
    labels: Names  # in class order; () for regression, or to be found in features or rows
    label_as: Literal["name", "index"] | None  # what the label column holds; None: index where the file names classes
    metrics: Open
    split: Expressions
    hub: str | None  # "owner/name" of the data set on the hub; None: local files
    config: Name | None  # its configuration
    revision: Annotated[str, BeforeValidator(lambda value: "main" if value is None else value)]  # of that data set
    columns: tuple[Name, ...] | None  # of CSV and TSV files without a header
    texts: tuple[Name, ...]  # the column of the text, or the two of a pair
    label: Name
    rows: Mapping[str, Count | None]  # sizes by split, where known
    train: str | None = None  # short for split.train
    dev: str | None = None
    test: str | None = None
    records: str | None = None  # where the rows lie inside the objects of a JSON file, as data.paragraphs.qas
    prompt: str | None = None  # those below are of language models alone, see `written`
    target: str | None = None
    references: Annotated[tuple[Name, ...] | None, BeforeValidator(listed)] = None
    group: bool | None = None
    answer_pattern: str | None = None
    linearize: Literal["totto"] | None = None
    separator: str | None = None
    decode: Decoding | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("train", "dev", "test") if getattr(self, name) is not None}
        made = {
            "split": replace(self.split, **given),
            **dict.fromkeys(given),
            "name": self.name or "-".join(filter(None, (_last(self.hub or "table"), self.config))),
            "rows": {split: count for split, count in self.rows.items() if count is not None},
            "metrics": self.metrics or METRICS[self.kind],
        }
        for name, value in made.items():  # one form of what has a short one
            object.__setattr__(self, name, value)
        for name, value in written.own(self).items():  # after the splits, which tell what is decoded
            object.__setattr__(self, name, value)
        if self.split.train is None:
            raise ValueError(f"split.train is not given; it must name a file of rows ({FORMATS})")
        if self.kind in CAUSAL:
            written.check(self)
        elif len(self.texts) not in (1, 2):
            raise ValueError(f"texts must name one column or the two of a pair, got {list(self.texts)}")
        elif self.label in self.texts:
            raise ValueError(f"column {self.label!r} cannot be both a text and the label")
        for split, text in self.expressions.items():
            for part in parts.parts_of(text):
                shell_path(part.name, f"split.{split}")
                if self.hub is None and not part.is_file and part.name not in self._in_files:
                    raise ValueError(
                        f"split.{split}={text} names a split, and there is no data set with splits; give "
                        f"task.hub=OWNER/NAME, or a file of rows ({FORMATS}); splits of files here: "
                        f"{', '.join(self._in_files) or 'none'}"
                    )
        if self.kind not in CAUSAL and not self.is_open:
            check_labels(self.kind, self.labels, self.metrics)  # type: ignore[arg-type]

    @property
    def is_open(self) -> bool:
        """Whether the classes are to be found in features or rows."""
        return self.kind == "classification" and not self.labels

    @property
    def text_columns(self) -> tuple[str, ...]:
        return written.columns(self) if self.kind in CAUSAL else self.texts

    @property
    def protocol(self) -> nlg.Protocol:
        """How texts that are written are scored."""
        return written.protocol(self)

    @property
    def expressions(self) -> dict[str, str]:
        """The rows of each split that is given."""
        every = {field.name: getattr(self.split, field.name) for field in fields(self.split)}
        return {split: text for split, text in every.items() if text is not None}

    @property
    def _in_files(self) -> list[str]:
        """The splits that are files."""
        return [split for split, text in self.expressions.items() if parts.parts_of(text)[0].is_file]

    # --- what is left open --------------------------------------------------------------------------------------------

    def completed(self, data_dir: Path | None) -> "Table":
        """Return the task with all that its settings leave open: the commit of a branch, dev, classes.

        Without network and cache the branch and dev stay open; ValueError where the classes are then unknown.
        """
        made = self
        if made.hub is not None and (made.split.dev is None or not _is_commit(made.revision) or made.is_open):
            try:
                made = made._on_hub(made._repository())
            except ConnectionError:
                if made.is_open:
                    raise
        return replace(made, labels=made._found_labels(data_dir)) if made.is_open else made

    def _on_hub(self, repository: Repository) -> "Table":
        dev = self.split.dev or next((name for name in DEV if name in repository.splits), None)
        local = repository.remote.local_copy is not None
        return replace(
            self,
            revision=self.revision if local else repository.remote.revision,
            split=replace(self.split, dev=dev),
            rows=self.rows or self._counted(repository, dev),
        )

    def _counted(self, repository: Repository, dev: str | None) -> dict[str, int]:
        """Return the sizes of splits that take all rows of a split of the repository."""
        chosen = {**self.expressions, **({} if dev is None else {"dev": dev})}
        return {split: repository.counts[text] for split, text in chosen.items() if text in repository.counts}

    def _found_labels(self, data_dir: Path | None) -> tuple[str, ...]:
        """Return the classes that the features name, else those of the training rows, sorted."""
        source = self._source(data_dir)
        assert self.split.train is not None
        rows = source.resolve(self.split.train)
        names = source.classes(rows[0].files[0], self.label)
        if names is not None and self.label_as != "name":
            return names
        return sorted_names(source.rows(rows), self.label)

    # --- rows ---------------------------------------------------------------------------------------------------------

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Any]]:
        """Return every split; relative files are below `data_dir`, or the working directory."""
        table = self.completed(data_dir)
        return table._load(table._source(data_dir))

    def _load(self, source: "Source") -> dict[str, Split[Any]]:
        intervals = {split: source.resolve(text) for split, text in self.expressions.items()}
        intervals["train"] = _left_for_train(intervals, source)
        read: Counter[str] = Counter()
        loaded = {
            split: split_of(split, self._examples(split, source, rows, read), tuple(dict.fromkeys(source.paths(rows))))
            for split, rows in intervals.items()
        }
        for split, rows in loaded.items():
            count = read[split] or len(rows)
            published = self.rows.get(split, count)
            if count != published:
                info(f"  note: {split} of {self.name} has {count:,} rows here, {published:,} as stated")
        return loaded

    def _examples(
        self, split: str, source: "Source", intervals: Sequence[parts.Interval], read: Counter[str]
    ) -> Iterator[Any]:
        """Yield the examples of a split; `read` counts rows of which several may be one example."""
        if self.kind in CAUSAL:
            rows = (row for row in source.rows(intervals) if not read.update([split]))
            yield from written.examples(self, split, rows)
            return
        for interval in intervals:
            read_label: Any = number_of
            if self.kind == "classification":
                names = source.classes(interval.files[0], self.label)
                read_label = class_in(self.labels, names, self.label_as, interval.files[0])
            yield from examples(
                ", ".join(interval.files),
                source.rows([interval]),
                texts=self.texts,
                label=self.label,
                read_label=read_label,
            )

    def _source(self, data_dir: Path | None) -> "Source":
        if self.hub is None:
            return Source(data_dir or Path.cwd(), None, self.expressions, self.columns, self.records)
        repository = self._repository()
        folder = get(self._remote(repository))
        return Source(folder, repository, self.expressions, self.columns, self.records)

    def hub_files(self, data_dir: Path | None) -> HubFiles | None:
        """Return what `load` takes from the hub, whatever `data_dir` is given; None where the files are local."""
        if self.hub is None:
            return None
        try:
            return self._remote(self._repository())
        except ConnectionError:  # `get` of it says why
            return HubFiles(self.hub, "dataset", self.revision, ("README.md",), ALTERNATIVE)

    @property
    def lacks_dev(self) -> bool:
        """Whether it is known that there is no dev split."""
        if self.split.dev is not None or self.hub is None:
            return self.split.dev is None
        try:
            return not {*DEV} & {*self._repository().splits}
        except ConnectionError:
            return False

    def _repository(self) -> Repository:
        assert self.hub is not None
        every = [part for text in self.expressions.values() for part in parts.parts_of(text)]
        has_splits = self.config is not None or not all(part.is_file for part in every)
        return open_repository(self.hub, self.revision, self.config, has_splits=has_splits)

    def _remote(self, repository: Repository) -> HubFiles:
        source = Source(Path(), repository, self.expressions, None)
        names = [name for text in self.expressions.values() for name in source.names(text)]
        return replace(repository.remote, files=tuple(dict.fromkeys(names)))


def _last(hub: str) -> str:
    return hub.rstrip("/").rpartition("/")[2]


def _is_commit(revision: str) -> bool:
    return len(revision) == COMMIT and set(revision) <= set("0123456789abcdef")


def _left_for_train(intervals: Mapping[str, Sequence[parts.Interval]], source: "Source") -> list[parts.Interval]:
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


@dataclass(frozen=True)
class Source:
    """The files of a table task: where they are, and the rows in them."""

    folder: Path
    repository: Repository | None
    expressions: Mapping[str, str]  # of the task's splits, which other expressions may name
    columns: tuple[str, ...] | None
    records: str | None = None

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
        return [str(file) for file in find_files(*below)]

    def paths(self, rows: Sequence[parts.Interval]) -> list[Path]:
        """Return the files of these rows."""
        return [Path(each) for row in rows for file in row.files for each in file.split(BESIDE)]

    def count(self, files: tuple[str, ...]) -> int:
        """Return the rows of files."""
        if self.records is None and not any(BESIDE in file for file in files):
            return sum(count_rows(Path(file), *self._layout) for file in files)
        return sum(1 for file in files for _ in self._read(file))

    @property
    def _layout(self) -> tuple[tuple[str, ...] | None, str | None]:
        """Columns of files without a header, and the separator; as the card states them, for a repository."""
        if self.repository is None:
            return self.columns, None
        return self.columns or self.repository.columns, self.repository.separator

    def rows(self, intervals: Sequence[parts.Interval]) -> Iterator[Row]:
        """Yield the rows of intervals, each with its file and line."""
        for interval in intervals:
            every = chain.from_iterable(map(self._read, interval.files))
            yield from islice(every, interval.begin, interval.end)

    def _read(self, file: str) -> Iterator[Row]:
        columns, separator = self._layout
        if BESIDE in file:
            return read_beside([Path(each) for each in file.split(BESIDE)], columns)
        rows = read_rows(Path(file), columns, "error", separator)
        return rows if self.records is None else inner_rows(rows, self.records)

    def classes(self, file: str, column: str) -> tuple[str, ...] | None:
        """Return the classes that the file, or the repository's card, names for a column."""
        own = class_names(Path(file), column)
        return own if own is not None or self.repository is None else self.repository.classes(column)
