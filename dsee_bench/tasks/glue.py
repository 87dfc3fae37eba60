"""GLUE's tasks, and any other of their shape: a text or a pair, with a class or a number (Wang et al. 2018).

Rows come from the official release's TSV files under `data_dir` or, without `data_dir`, from parquet files on the hub.
Both give the same examples in the same order, with the same checksum. A task is a YAML that names files and columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsee_bench.config.limits import Count
from dsee_bench.hub import DataRevision, Wanted, get
from dsee_bench.monitoring.console import info
from dsee_bench.system.sources import find_files
from dsee_bench.tasks.example import Example, Split, split_of
from dsee_bench.tasks.labelled import LabelKind, ReadLabel, check_task, class_of, examples, number_of
from dsee_bench.tasks.rows import BrokenRows, class_names, read_rows


@dataclass(frozen=True)
class TsvLayout:
    """How the release's files are laid out, relative to `data_dir`."""

    files: Mapping[str, str]  # split -> file
    columns: tuple[str, ...] | None  # the columns' names; None: the first line states them
    texts: tuple[str, ...]  # the columns of the texts
    label: str  # the column of the label
    written: tuple[str, ...]  # the classes as the files write them, in class order; () for numbers
    broken_rows: BrokenRows  # what to do with a row of too few or too many fields


@dataclass(frozen=True)
class HubLayout(DataRevision):
    """How its parquet files are laid out; labels are class indices, or numbers."""

    texts: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class Glue:
    """One task; see conf/task/*.yaml."""

    name: str
    kind: LabelKind
    labels: tuple[str, ...]  # in class order; () for regression
    metrics: tuple[str, ...]
    rows: Mapping[str, Count]  # the release's sizes; files of another size are read, and told of
    tsv: TsvLayout
    hub: HubLayout

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.tsv.written):
            raise ValueError(
                f"{len(self.labels)} labels {list(self.labels)} for a {len(self.tsv.written)}-label task: "
                f"the files of {self.name} write {list(self.tsv.written)}"
            )
        splits = self.tsv.files.keys() & self.hub.files.keys()
        check_task(kind=self.kind, labels=self.labels, metric_names=self.metrics, splits=splits)

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Example]]:
        """Every split, from the TSV files under `data_dir`, from the hub where it is None; `seed` changes nothing."""
        if data_dir is not None:
            folder, layout = data_dir, self.tsv.files
            found = {split: split_of(split, self._from_tsv(folder, file)) for split, file in layout.items()}
        else:
            folder, layout = get(self._on_hub), self.hub.files
            found = {split: split_of(split, self._from_hub(folder, file)) for split, file in layout.items()}
        for split, content in found.items():
            published = self.rows.get(split, len(content))
            if len(content) != published:
                info(f"  note: {split} of {self.name} has {len(content):,} rows here, {published:,} as published")
        return {split: content.read_from(find_files(folder, layout[split])) for split, content in found.items()}

    def hub_files(self, data_dir: Path | None) -> Wanted | None:
        """What `load` takes from the hub: nothing if it has a `data_dir`."""
        return None if data_dir is not None else self._on_hub

    @property
    def _on_hub(self) -> Wanted:
        files = self.tsv.files
        return self.hub.wanted(f"data_dir=DIR with the release's {files['train']} and {files['dev']}")

    def _from_tsv(self, folder: Path, file: str) -> Iterator[Example]:
        try:
            (path,) = find_files(folder, file)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; data_dir=null takes {self.hub.repo} from the hub") from error
        rows = read_rows(path, self.tsv.columns, self.tsv.broken_rows)
        read = self._read_label(self.tsv.written)
        yield from examples(path, rows, texts=self.tsv.texts, label=self.tsv.label, read_label=read)

    def _from_hub(self, folder: Path, pattern: str) -> Iterator[Example]:
        read = self._read_label([str(index) for index in range(len(self.labels))])
        for path in find_files(folder, pattern):
            names = class_names(path, self.hub.label)
            if names is not None and names != self.labels:
                raise ValueError(f"{path} has the classes {list(names)}, the task's labels are {list(self.labels)}")
            rows = read_rows(path)
            yield from examples(path, rows, texts=self.hub.texts, label=self.hub.label, read_label=read)

    def _read_label(self, written: Sequence[str]) -> ReadLabel:
        return class_of(written) if self.kind == "classification" else number_of
