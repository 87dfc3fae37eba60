"""Anybody's texts with classes or numbers: CSV, TSV, JSON or parquet files, in a folder or in a hub repository.

dsee-bench task=custom data_dir=DIR task.train=a.csv task.dev=b.csv task.texts=[review] task.labels=[bad,good]
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from dsee_bench.config.limits import Count
from dsee_bench.hub import Wanted, get
from dsee_bench.system.shell import shell_path
from dsee_bench.system.sources import find_files
from dsee_bench.tasks.example import Example, Split, split_of
from dsee_bench.tasks.labelled import LabelKind, check_task, class_of, examples, number_of, spelled
from dsee_bench.tasks.rows import FORMATS, class_names, read_rows

Name = Annotated[str, BeforeValidator(spelled)]  # YAML reads false and 0 as no texts; the files write them as such


@dataclass(frozen=True)
class Custom:
    """One task of a user's own; see conf/task/custom.yaml."""

    name: str
    kind: LabelKind
    labels: tuple[Name, ...]  # in class order; () for regression
    label_as: Literal["name", "index"]  # the label column holds the class's name, or its place in `labels` from 0
    metrics: tuple[str, ...]
    train: str | None  # a file, or a pattern matching all shards of one
    dev: str | None
    test: str | None  # None: there is no such split
    hub: str | None  # "owner/name" of the data set on the hub that holds the files; None: they are local
    revision: str  # of that data set
    columns: tuple[Name, ...] | None  # of CSV and TSV files without a header
    texts: tuple[Name, ...]  # the column of the text, or the two of a pair
    label: Name
    rows: Mapping[str, Count]  # sizes by split; may be empty

    def __post_init__(self) -> None:
        if self.train is None or self.dev is None:
            missing = "train" if self.train is None else "dev"
            raise ValueError(f"{missing} is not given; it must name a file of rows ({FORMATS})")
        if len(self.texts) not in (1, 2):
            raise ValueError(f"texts must name one column or the two of a pair, got {list(self.texts)}")
        if self.label in self.texts:
            raise ValueError(f"column {self.label!r} cannot be both a text and the label")
        for split, file in self.files.items():
            shell_path(file, split)
        check_task(kind=self.kind, labels=self.labels, metric_names=self.metrics, splits=self.files)

    @property
    def files(self) -> dict[str, str]:
        """The file or pattern of each split there is."""
        splits = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: file for split, file in splits.items() if file is not None}

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Example]]:
        """Every split; relative files are below `data_dir`, or the working directory. `seed` changes nothing."""
        wanted = self.hub_files(data_dir)
        folder = get(wanted) if wanted is not None else data_dir if data_dir is not None else Path.cwd()
        found = {split: _found(folder, file) for split, file in self.files.items()}
        return {split: split_of(split, self._read(files)).read_from(files) for split, files in found.items()}

    def hub_files(self, data_dir: Path | None) -> Wanted | None:
        """What `load` takes from the hub, whatever `data_dir` is given; None where the files are local."""
        if self.hub is None:
            return None
        return Wanted(
            repo=self.hub,
            kind="dataset",
            revision=self.revision,
            files=tuple(self.files.values()),
            local="the files themselves, by task.hub=null and data_dir=DIR",
        )

    def _read(self, files: Sequence[Path]) -> Iterator[Example]:
        names = self.labels if self.label_as == "name" else [str(index) for index in range(len(self.labels))]
        read = class_of(names) if self.kind == "classification" else number_of
        for path in files:
            self._check_classes(path)
            rows = read_rows(path, self.columns)
            yield from examples(path, rows, texts=self.texts, label=self.label, read_label=read)

    def _check_classes(self, path: Path) -> None:
        """ValueError where a parquet file names its classes otherwise than the task: its numbers mean the file's."""
        if path.suffix != ".parquet" or self.kind != "classification" or self.label_as != "index":
            return
        names = class_names(path, self.label)
        if names is not None and names != self.labels:
            raise ValueError(
                f"{path} has the classes {list(names)}, the task's labels are {list(self.labels)}; "
                f"set task.labels=[{','.join(names)}]"
            )


def _found(folder: Path, file: str) -> tuple[Path, ...]:
    """The files that `file`, a path or a pattern, names; a relative one is below `folder`."""
    path = shell_path(file, "task file")
    return find_files(path.parent, path.name) if path.is_absolute() else find_files(folder, str(path))
