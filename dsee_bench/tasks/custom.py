"""Anybody's texts with classes or numbers: CSV, TSV, JSON or parquet files, in a folder or in a hub repository.

dsee-bench task=custom data_dir=DIR task.train=a.csv task.dev=b.csv task.texts=[review] task.labels=[bad,good]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator

from dsee_bench.config.limits import Count
from dsee_bench.hub import HubFiles, get
from dsee_bench.system.shell import shell_path
from dsee_bench.system.sources import find_files
from dsee_bench.tasks.example import Example, Split, splits_of
from dsee_bench.tasks.labelled import LabelKind, Layout, check_task, read_examples, spelled
from dsee_bench.tasks.rows import FORMATS

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
    def text_columns(self) -> tuple[str, ...]:
        return self.texts

    @property
    def files(self) -> dict[str, str]:
        """The file or pattern of each split."""
        splits = {"train": self.train, "dev": self.dev, "test": self.test}
        return {split: file for split, file in splits.items() if file is not None}

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Example]]:
        """Return every split; relative files are below `data_dir`, or the working directory."""
        remote = self.hub_files(data_dir)
        folder = get(remote) if remote is not None else data_dir if data_dir is not None else Path.cwd()
        paths = {split: shell_path(file, "task file") for split, file in self.files.items()}
        files = {
            split: find_files(path.parent, path.name) if path.is_absolute() else find_files(folder, str(path))
            for split, path in paths.items()
        }
        written = self.labels if self.label_as == "name" else None
        layout = Layout(self.columns, self.texts, self.label, written, broken_rows="error")
        return splits_of(files, partial(read_examples, labels=self.labels, layout=layout))

    def hub_files(self, data_dir: Path | None) -> HubFiles | None:
        """Return what `load` takes from the hub, whatever `data_dir` is given; None where the files are local."""
        if self.hub is None:
            return None
        return HubFiles(
            repo=self.hub,
            kind="dataset",
            revision=self.revision,
            files=tuple(self.files.values()),
            alternative="the files themselves, by task.hub=null and data_dir=DIR",
        )
