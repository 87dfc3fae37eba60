"""GLUE's tasks, and any other of their shape: a text or a pair, with a class or a number (Wang et al. 2018).

Rows come from the official release's TSV files under `data_dir` or, without `data_dir`, from parquet files on the hub.
Both give the same examples in the same order, with the same checksum. A task is a YAML that names files and columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dsee_bench.config.limits import Count
from dsee_bench.hub import DataRevision, HubFiles, get
from dsee_bench.monitoring.console import info
from dsee_bench.system.sources import find_files
from dsee_bench.tasks.example import Example, Split, Truncate, splits_of
from dsee_bench.tasks.labelled import LabelKind, Layout, check_task, read_examples


@dataclass(frozen=True)
class TsvLayout(Layout):
    """How the release's files are laid out, relative to `data_dir`."""

    written: tuple[str, ...]
    files: Mapping[str, str]  # split -> file


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
    rows: Mapping[str, Count]  # the release's sizes; files of another size are read, and a note says so
    tsv: TsvLayout
    hub: HubLayout
    truncate: Truncate | None = None  # which tokens of a long text stay

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.tsv.written):
            raise ValueError(
                f"{len(self.labels)} labels {list(self.labels)} for a {len(self.tsv.written)}-label task: "
                f"the files of {self.name} write {list(self.tsv.written)}"
            )
        splits = self.tsv.files.keys() & self.hub.files.keys()
        check_task(kind=self.kind, labels=self.labels, metric_names=self.metrics, splits=splits)

    @property
    def text_columns(self) -> tuple[str, ...]:
        return self.hub.texts

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Example]]:
        """Return every split, from the TSV files under `data_dir`, or from the hub where it is None."""
        splits = self._from_hub(get(self._on_hub)) if data_dir is None else self._from_tsv(data_dir)
        for name, split in splits.items():
            published = self.rows.get(name, len(split))
            if len(split) != published:
                info(f"  note: {name} of {self.name} has {len(split):,} rows here, {published:,} as published")
        return splits

    def _from_tsv(self, folder: Path) -> dict[str, Split[Example]]:
        try:
            files = {split: find_files(folder, file) for split, file in self.tsv.files.items()}
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; data_dir=null takes {self.hub.repo} from the hub") from error
        return splits_of(files, partial(read_examples, labels=self.labels, layout=self.tsv))

    def _from_hub(self, folder: Path) -> dict[str, Split[Example]]:
        files = {split: find_files(folder, pattern) for split, pattern in self.hub.files.items()}
        layout = Layout(None, self.hub.texts, self.hub.label, written=None, broken_rows="error")
        return splits_of(files, partial(read_examples, labels=self.labels, layout=layout))

    def hub_files(self, data_dir: Path | None) -> HubFiles | None:
        """Return what `load` takes from the hub: nothing if it has a `data_dir`."""
        return None if data_dir is not None else self._on_hub

    @property
    def _on_hub(self) -> HubFiles:
        files = self.tsv.files
        return self.hub.remote(f"data_dir=DIR with the release's {files['train']} and {files['dev']}")
