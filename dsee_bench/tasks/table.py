"""Any data set of texts, with classes, numbers, several labels, choices, or texts to write: of the hub, or in files.

dsee-bench task=hub task.hub=OWNER/NAME task.texts=[premise,hypothesis]
dsee-bench task=custom data_dir=DIR task.split.train=a.csv task.split.dev=b.csv task.texts=[review] task.label=mood
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from dsee_bench.config.limits import Count, Limits
from dsee_bench.hub import HubFiles, get
from dsee_bench.metrics import nlg
from dsee_bench.system.shell import shell_path
from dsee_bench.tasks import aliases, discovery, parts, table_rows, written
from dsee_bench.tasks.aliases import Written
from dsee_bench.tasks.example import CAUSAL, Split, Truncate
from dsee_bench.tasks.forms import Form, Format
from dsee_bench.tasks.generation import Decoding
from dsee_bench.tasks.labelled import LabelKind, check_labels
from dsee_bench.tasks.labels import spelled
from dsee_bench.tasks.repository import ALTERNATIVE, Repository, open_repository
from dsee_bench.tasks.rows import FORMATS
from dsee_bench.tasks.source import Source

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

    def completed(self, data_dir: Path | None) -> "Table":
        """Return the task with all that its settings leave open, see `discovery`."""
        return discovery.completed(self, data_dir)

    @property
    def lacks_dev(self) -> bool:
        """Whether it is known that there is no dev split."""
        return discovery.lacks_dev(self)

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Any]]:
        """Return every split; relative files are below `data_dir`, or the working directory."""
        table = self.completed(data_dir)
        return table_rows.load(table, table.source(data_dir))

    def source(self, data_dir: Path | None) -> Source:
        """Return where the rows are; those of the hub are fetched."""
        if self.hub is None:
            return self._files(data_dir or Path.cwd(), None)
        repository = self.repository()
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
            return self._remote(self.repository())
        except ConnectionError:  # `get` of it says why
            return HubFiles(self.hub, "dataset", self.revision, ("README.md",), ALTERNATIVE)

    def repository(self) -> Repository:
        """Return the repository of the hub that the rows are in."""
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
