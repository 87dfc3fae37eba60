"""Any data set of texts, with classes, numbers, several labels, choices, or texts to write: of the hub, or in files.

dsee-bench task=hub task.hub=OWNER/NAME task.texts=[premise,hypothesis]
dsee-bench task=custom data_dir=DIR task.split.train=a.csv task.split.dev=b.csv task.texts=[review] task.label=mood
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dsee_bench.config.limits import Count, Limits
from dsee_bench.hub import HubFiles, get
from dsee_bench.metrics import nlg
from dsee_bench.monitoring.console import info
from dsee_bench.system.errors import shown
from dsee_bench.system.shell import shell_path
from dsee_bench.tasks import aliases, parts, written
from dsee_bench.tasks.aliases import Written
from dsee_bench.tasks.choices import Choosing, place_names, questions
from dsee_bench.tasks.example import CAUSAL, Split, Truncate, split_of
from dsee_bench.tasks.forms import Form, Format
from dsee_bench.tasks.generation import Decoding
from dsee_bench.tasks.labelled import LabelKind, check_labels, examples
from dsee_bench.tasks.labels import ReadLabel, class_in, items_of, labels_in, number_of, sorted_names, spelled, switches
from dsee_bench.tasks.repository import ALTERNATIVE, Repository, open_repository
from dsee_bench.tasks.rows import FORMATS
from dsee_bench.tasks.source import Source, left_for_train

Name = Annotated[str, BeforeValidator(spelled)]  # YAML reads false and 0 as no texts; the files write them as such
Names = Annotated[tuple[Name, ...], BeforeValidator(lambda value: () if value is None else value)]
listed: Any = lambda value: [value] if isinstance(value, str) else value  # noqa: E731
Open = Annotated[tuple[str, ...], BeforeValidator(lambda value: () if value is None else value)]

METRICS = {
    "classification": ("accuracy",),
    "regression": ("pearson", "spearman"),
    "multi_label": ("micro_f1", "macro_f1"),
    "multiple_choice": ("accuracy",),
    **written.METRICS,
}  # if none are given
OF_KIND = {
    "label_separator": "multi_label",
    "threshold": "multi_label",
    "choices": "multiple_choice",
    "blank": "multiple_choice",
}  # settings of one kind of task
DEV = ("validation", "dev", "valid", "val")  # names of the split that is dev, where none is given
COMMIT = 40  # hex digits of a commit


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
    texts: tuple[Name, ...]  # the column of the text, or the two of a pair; of multiple choice those of the context
    label: Name | tuple[Name, ...]  # multi-label: a column of 0 and 1 for each label, or one column
    rows: Mapping[str, Count | None]  # sizes by split, where known
    label_separator: str | None = None  # between the labels of a cell
    threshold: Annotated[float, Limits(gt=0, lt=1)] | None = None  # probability above which a label is an answer
    choices: Name | tuple[Name, ...] | None = None  # a column for each choice, or one that holds them all
    blank: str | None = None  # mark in the context where the choice belongs
    truncate: Truncate | None = None  # which tokens of a long text stay
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
    format: Format | None = None  # of files whose ending does not say it, see `forms`
    encoding: str | None = None
    pattern: str | None = None
    delimiter: str | None = None
    written: Annotated[Written | None, BeforeValidator(aliases.listed)] = None  # the classes as rows have them
    no_label: Names = ()  # cells that stand for no label; their rows are left out
    empty_texts: Literal["error", "keep"] | None = None  # of a row without a text; None: error

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
        for key, kind in OF_KIND.items():
            if getattr(self, key) is not None and kind != self.kind:
                raise ValueError(f"{key}={getattr(self, key)} is for kind={kind}, this task is {self.kind}")
        if self.kind in CAUSAL:
            written.check(self)
        else:
            self._check_columns()
        for split, text in self.expressions.items():
            for part in parts.parts_of(text):
                shell_path(part.name, f"split.{split}")
                if self.hub is None and not part.is_file and part.name not in self._in_files:
                    raise ValueError(
                        f"split.{split}={text} names a split, and there is no data set with splits; give "
                        f"task.hub=OWNER/NAME, or a file of rows ({FORMATS}); splits of files here: "
                        f"{', '.join(self._in_files) or 'none'}"
                    )
        if self.written is not None:
            aliases.check(self.written, self.labels)
        if self.kind not in CAUSAL and not self.is_open:
            check_labels(self.kind, self.labels, self.metrics)  # type: ignore[arg-type]

    def _check_columns(self) -> None:
        if self.kind == "multiple_choice" and not self.texts:
            raise ValueError("texts must name the columns of the context, got none")
        if self.kind == "multiple_choice" and len(self.choice_columns) == 0:
            raise ValueError(
                "choices is not given; name the column of each choice, or the one that holds a list of them"
            )
        if self.kind != "multiple_choice" and len(self.texts) not in (1, 2):
            raise ValueError(f"texts must name one column or the two of a pair, got {list(self.texts)}")
        if not isinstance(self.label, str) and (self.kind != "multi_label" or len(self.label) < 1):
            raise ValueError(f"label must name one column, got {list(self.label)}; kind=multi_label may have several")
        both = [column for column in self.label_columns if column in (*self.texts, *self.choice_columns)]
        if both:
            raise ValueError(f"column {both[0]!r} cannot be both a text and the label")

    @property
    def is_open(self) -> bool:
        """Whether the classes are to be found in features or rows."""
        return self.kind in ("classification", "multi_label") and not self.labels

    @property
    def text_columns(self) -> tuple[str, ...]:
        return written.columns(self) if self.kind in CAUSAL else self.texts

    @property
    def choice_columns(self) -> tuple[str, ...]:
        """The columns of the choices."""
        return (self.choices,) if isinstance(self.choices, str) else self.choices or ()

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns of the label."""
        return (self.label,) if isinstance(self.label, str) else self.label

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
        if not isinstance(self.label, str):
            return self.label
        source, label = self._source(data_dir), self.label
        rows = source.resolve(str(self.split.train))
        names = source.classes(rows[0].files[0], label)
        if names is not None and self.label_as != "name":
            return names
        several, separator = self.kind == "multi_label", self.label_separator
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

    # --- rows ---------------------------------------------------------------------------------------------------------

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Any]]:
        """Return every split; relative files are below `data_dir`, or the working directory."""
        table = self.completed(data_dir)
        return table._load(table._source(data_dir))

    def _load(self, source: Source) -> dict[str, Split[Any]]:
        intervals = {split: source.resolve(text) for split, text in self.expressions.items()}
        intervals["train"] = left_for_train(intervals, source)
        how = self._choosing(source, list(chain(*intervals.values()))) if self.kind == "multiple_choice" else None
        read: Counter[str] = Counter()
        loaded = {
            split: split_of(
                split, self._examples(split, source, rows, read, how), tuple(dict.fromkeys(source.paths(rows)))
            )
            for split, rows in intervals.items()
        }
        if how is not None:
            loaded = {split: replace(rows, places=how.names) for split, rows in loaded.items()}
        for split, rows in loaded.items():
            count = read[split] or len(rows)
            published = self.rows.get(split, count)
            if count != published:
                info(f"  note: {split} of {self.name} has {count:,} rows here, {published:,} as stated")
        for file, count in source.left_out.items():
            if count:
                marks = ", ".join(map(shown, self.no_label))
                info(f"  note: {file}: {count:,} rows have no label ({marks}) and are left out")
        return loaded

    def _examples(
        self,
        split: str,
        source: Source,
        intervals: Sequence[parts.Interval],
        read: Counter[str],
        how: Choosing | None,
    ) -> Iterator[Any]:
        """Yield the examples of a split; `read` counts rows of which several may be one example."""
        if self.kind in CAUSAL:
            rows = (row for row in source.rows(intervals) if not read.update([split]))
            yield from written.examples(self, split, rows)
            return
        for interval in intervals:
            every, files = source.rows([interval]), ", ".join(interval.files)
            if how is not None:
                yield from questions(every, how, files)
            else:
                read_label = self._label_reader(source, interval.files[0])
                empty = self.empty_texts == "keep"
                yield from examples(
                    files, every, texts=self.texts, label=self.label, read_label=read_label, empty=empty
                )

    def _label_reader(self, source: Source, file: str) -> ReadLabel:
        if self.kind == "regression":
            return number_of
        if not isinstance(self.label, str):
            return switches(self.label)
        names = source.classes(file, self.label)
        if self.written is not None:
            return aliases.reader(
                self.written, names, file, several=self.kind == "multi_label", separator=self.label_separator
            )
        one = class_in(self.labels, names, self.label_as, file)
        return labels_in(self.labels, one, self.label_separator) if self.kind == "multi_label" else one

    def _choosing(self, source: Source, intervals: Sequence[parts.Interval]) -> Choosing:
        """Return how rows become questions; the names of places are found in all rows where they are not given."""
        assert isinstance(self.label, str)
        names = source.classes(intervals[0].files[0], self.label)
        by_index = self.label_as == "index" or (names is not None and self.label_as is None)
        how = Choosing(self.texts, self.choice_columns, self.label, self.labels, by_index, self.blank)
        return how if by_index or self.labels else replace(how, names=place_names(source.rows(intervals), how))

    def _source(self, data_dir: Path | None) -> Source:
        if self.hub is None:
            return self._files(data_dir or Path.cwd(), None)
        repository = self._repository()
        folder = get(self._remote(repository))
        return self._files(folder, repository)

    def _files(self, folder: Path, repository: Repository | None) -> Source:
        form = Form(self.columns, self.format, self.encoding, self.pattern, self.delimiter)
        unlabelled = {column: self.no_label for column in self.label_columns if self.no_label}
        return Source(folder, repository, self.expressions, form, self.records, unlabelled)

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
        source = Source(Path(), repository, self.expressions, Form())
        names = [name for text in self.expressions.values() for name in source.names(text)]
        return replace(repository.remote, files=tuple(dict.fromkeys(names)))


def _last(hub: str) -> str:
    return hub.rstrip("/").rpartition("/")[2]


def _is_commit(revision: str) -> bool:
    return len(revision) == COMMIT and set(revision) <= set("0123456789abcdef")
