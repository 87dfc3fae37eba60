"""The description of a table in `conf/table/*.yaml`. A new file there is a new table; no code knows their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dsee_bench.config import ConfigError, nearest
from dsee_bench.config.limits import CountOrZero
from dsee_bench.config.recipes import option
from dsee_bench.config.validate import typed

Scalar = str | int | float | bool | None
Where = Mapping[str, Scalar | tuple[Scalar, ...]]  # dotted setting -> its value, or the values that are admitted


@dataclass(frozen=True)
class ScoreColumn:
    """One column of scores: a metric of a task."""

    task: str
    score: str
    label: str
    split: str | None = None  # None: the table's
    digits: CountOrZero | None = None  # None: the table's


@dataclass(frozen=True)
class CostColumn:
    """One column of costs, by the cost's name in the record."""

    cost: str
    label: str
    show: Literal["count", "percent", "giga", "mega", "plain"]


@dataclass(frozen=True)
class MethodSpec:
    """The rows of one method: its runs that match `where`, a row for each other setting in which they differ."""

    method: str
    label: str
    where: Where | None = None


@dataclass(frozen=True)
class Average:
    """A column with the mean over the named ones; its cell is empty where one of theirs is."""

    label: str
    over: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """A row of numbers that others published, with the source. A number that nobody printed is left out."""

    backbone: str
    label: str
    source: str
    cells: Mapping[str, str]  # label of a score or cost column -> the number as printed


@dataclass(frozen=True)
class Figure:
    """A figure drawn from the table's rows; `cost` is the horizontal axis where the kind needs one.

    tradeoff: scores against a cost, with the Pareto front; curve: scores along a cost, a line a method; dots: scores
    of each row side by side; training: loss and dev score over steps; heatmap: sparsity by layer and weight; times:
    time saved against FLOPs saved, of each shape of model that was timed.
    """

    kind: Literal["tradeoff", "curve", "dots", "training", "heatmap", "times"]
    cost: str | None = None
    label: str | None = None  # of the axis
    scale: Literal["linear", "log"] | None = None

    def __post_init__(self) -> None:
        axis = (self.cost, self.label, self.scale)
        if self.kind in ("tradeoff", "curve") and None in axis:
            raise ValueError(f"a {self.kind} needs cost, label and scale, got {axis}")
        if self.kind not in ("tradeoff", "curve") and axis != (None, None, None):
            raise ValueError(f"a {self.kind} has no cost axis, got {axis}; leave cost, label and scale out")

    @property
    def name(self) -> str:
        return self.kind if self.cost is None else f"{self.kind}-{self.cost}"


@dataclass(frozen=True)
class TableSpec:
    """One table: its columns, rows and figures."""

    title: str
    split: str
    digits: CountOrZero
    other_methods: bool  # unlisted methods get a row too, after the listed ones
    costs: tuple[CostColumn, ...]
    rows: tuple[MethodSpec, ...]
    columns: tuple[ScoreColumn, ...] | None = None  # None: the first score of every task
    filters: Where | None = None  # runs that do not match are left out
    average: Average | None = None
    engines: bool = False  # each row stands once for each engine that its model was measured on, with its scores there
    select_on: Literal["validation", "dev", "last"] = "dev"  # the table of this name; other runs get one of their own
    published: tuple[Published, ...] = ()
    figures: tuple[Figure, ...] = ()

    def __post_init__(self) -> None:
        scores = [column.label for column in self.columns or ()]
        labels = scores + [cost.label for cost in self.costs]
        if len(set(labels)) != len(labels):
            raise ValueError(f"column labels must differ, got {labels}")
        unknown = {label for row in self.published for label in row.cells} - set(labels)
        unknown |= set(self.average.over if self.average is not None else ()) - set(scores)
        if unknown:
            raise ValueError(f"no column is called {sorted(unknown)}; there are {labels}")


def read_spec(path: Path) -> TableSpec:
    """Read the description of a table from a YAML file and the files that its `defaults` name.

    ConfigError names the file and the key that is wrong.
    """
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(option(path.parent.name, path.stem, path.parent.parent))
    return typed(TableSpec, content, str(path))


def spec_paths(folder: Path, names: list[str]) -> list[Path]:
    """Return the files of the named tables, or of all; ConfigError lists the tables."""
    paths = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    for name in names:
        if name not in paths:
            raise ConfigError(f"no table {name!r}{nearest(name, paths)} There are: {', '.join(paths)}")
    return [paths[name] for name in names] if names else list(paths.values())
