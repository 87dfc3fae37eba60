"""The runs of a table and of each of its rows: runs are one row if their settings differ by nothing but the seed.

Two runs on the same task that differ in any other setting are two variants of their method, named by what differs. A
setting that differs between tasks only (a learning rate chosen for each task) does not split a row: it is the method's
recipe, which notes.py states below the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import pandas as pd

from dsee_bench.config import nearest
from dsee_bench.report.spec import MethodSpec, ScoreColumn, TableSpec, Where

MISSPELT = 0.9  # similarity, of 1, from which on an unknown setting is taken for a misspelt known one


@dataclass(frozen=True)
class Variant:
    """The runs of one row. `label` has as few settings as tell it from its siblings, `also` the other ones.

    A setting that always has the value of one in the label (a pool's sparsity that follows the stage's) is in neither.
    """

    label: str  # "" where the method has one variant only
    also: dict[str, Any]
    runs: pd.DataFrame

    @property
    def method(self) -> str:
        """The name of the method in its records."""
        return str(self.runs["method"].iloc[0])


def matching(runs: pd.DataFrame, where: Where, user: str) -> pd.DataFrame:
    """Return the runs whose settings have the wanted values (null: not set).

    ValueError, which names the `user` of the condition, for a setting that no run has but must have, or that looks
    like a misspelt one.
    """
    for key, wanted in where.items():
        admitted = wanted if isinstance(wanted, tuple) else (wanted,)
        known = {"seed"} | {name for settings in distinct(runs) for name in settings}
        may_be_unset = None in admitted and not get_close_matches(key, known, cutoff=MISSPELT)
        if len(runs) and key not in known and not may_be_unset:
            raise ValueError(f"{user}: no run has the setting {key!r}{nearest(key, known)}")
        values = runs["seed"] if key == "seed" else [settings.get(key) for settings in runs["settings"]]
        # Not by isin: a column of numbers and None would become one of numbers and NaN.
        runs = runs[pd.Series([value in admitted for value in values], runs.index, bool)]
    return runs


def every_task(runs: pd.DataFrame, split: str) -> tuple[ScoreColumn, ...]:
    """Return a column for the first score of each task on `split`: the one that chooses the checkpoint."""
    first = runs[runs["split"] == split].drop_duplicates("task").sort_values("task")
    pairs = zip(first["task"], first["score"], strict=True)
    return tuple(ScoreColumn(task, score, f"{task} {score}") for task, score in pairs)


def in_columns(runs: pd.DataFrame, columns: Sequence[ScoreColumn], split: str) -> pd.DataFrame:
    """Return the results that stand in one of `columns`, with that column's label as "column"."""
    labels = {(column.task, column.score, column.split or split): column.label for column in columns}
    keys = zip(runs["task"], runs["score"], runs["split"], strict=True)
    return runs.assign(column=pd.Series([labels.get(key) for key in keys], runs.index, object)).dropna(subset="column")


def methods(spec: TableSpec, runs: pd.DataFrame) -> list[MethodSpec]:
    """Return the methods that a table lists, then the other ones by name if it shows these too."""
    unlisted = sorted(set(runs["method"]) - {row.method for row in spec.rows}) if spec.other_methods else []
    return [*spec.rows, *(MethodSpec(method, method) for method in unlisted)]


def variants(runs: pd.DataFrame) -> list[Variant]:
    """Split the runs of one method on one backbone by the settings that differ within a task, in order of these."""
    keys = differing(runs)
    by_values = runs.groupby(runs["settings"].map(lambda settings: repr([settings.get(key) for key in keys])))
    pairs = [({key: part["settings"].iloc[0].get(key) for key in keys}, part) for _, part in by_values]
    settings = [values for values, _ in pairs]
    named = telling_apart(settings)
    also = [key for key in keys if not any(all(values[key] == values[name] for values in settings) for name in named)]
    pairs.sort(key=lambda pair: [_order(pair[0][key]) for key in [*named, *keys]])
    return [
        Variant(
            ", ".join(f"{short(key)}={show(values[key])}" for key in named), {key: values[key] for key in also}, part
        )
        for values, part in pairs
    ]


def distinct(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the settings of runs, those that many share (frame() sees to that) once."""
    return list({id(settings): settings for settings in runs["settings"]}.values())


def differing(runs: pd.DataFrame) -> list[str]:
    """Return the settings that have more than one value among the runs of some task, sorted by name."""
    names: set[str] = set()
    for _, part in runs.drop_duplicates("run_id").groupby("task"):
        of_task = distinct(part)
        known = {name for settings in of_task for name in settings}
        names |= {name for name in known if len({repr(settings.get(name)) for settings in of_task}) > 1}
    return sorted(names)


def telling_apart(variants: list[dict[str, Any]]) -> list[str]:
    """Return as few settings as tell the variants apart: the method's own before others, the least nested first."""
    chosen: list[str] = []
    groups = 1
    for key in sorted(variants[0], key=_nesting):
        finer = len({repr([values[name] for name in [*chosen, key]]) for values in variants})
        if finer > groups:
            chosen, groups = [*chosen, key], finer
    return chosen


def _nesting(key: str) -> tuple[bool, bool, int, int, str]:
    return (key.endswith("_target_"), not key.startswith("method."), key.count("."), len(key), key)


def short(key: str) -> str:
    """Return `method.stages.prune.sparsity` as `prune.sparsity`."""
    return key.removeprefix("method.stages.").removeprefix("method.")


def show(value: object) -> str:
    """Return a setting's value as text: "none" for None, a list with plus signs."""
    if isinstance(value, tuple):
        return "+".join(show(item) for item in value)
    return "none" if value is None else str(value)


def _order(value: object) -> tuple[bool, float, str]:
    """Numbers by size, then everything else by name."""
    return (False, float(value), show(value)) if isinstance(value, int | float) else (True, 0.0, show(value))
