"""Which rows of the frame belong in a table, in one of its columns, in one of its rows."""

from collections.abc import Sequence
from difflib import get_close_matches

import pandas as pd

from dsee_bench.config import nearest
from dsee_bench.report.spec import MethodRow, ScoreColumn, TableSpec, Where

MISSPELT = 0.9  # how alike, of 1, an unknown setting and a known one are where one is meant for the other


def matching(runs: pd.DataFrame, where: Where, who: str) -> pd.DataFrame:
    """The runs whose settings have the wanted values (null: not set); ValueError if no run has a setting that must be
    set, or that looks like one misspelt."""
    for key, wanted in where.items():
        admitted = wanted if isinstance(wanted, tuple) else (wanted,)
        known = {"seed"} | {name for settings in runs["settings"] for name in settings}
        unset = None in admitted and not get_close_matches(key, known, cutoff=MISSPELT)
        if len(runs) and key not in known and not unset:
            raise ValueError(f"{who}: no run has the setting {key!r}{nearest(key, known)}")
        values = runs["seed"] if key == "seed" else [settings.get(key) for settings in runs["settings"]]
        # Not by isin: a column of numbers and None would become one of numbers and NaN.
        runs = runs[pd.Series([value in admitted for value in values], runs.index, bool)]
    return runs


def every_task(runs: pd.DataFrame, split: str) -> tuple[ScoreColumn, ...]:
    """The first score of each task on `split`: the one that chooses the checkpoint."""
    first = runs[runs["split"] == split].drop_duplicates("task").sort_values("task")
    pairs = zip(first["task"], first["score"], strict=True)
    return tuple(ScoreColumn(task, score, f"{task} {score}") for task, score in pairs)


def in_columns(runs: pd.DataFrame, columns: Sequence[ScoreColumn], split: str) -> pd.DataFrame:
    """The rows that stand in one of `columns`, with that column's label as "column"."""
    labels = {(column.task, column.score, column.split or split): column.label for column in columns}
    keys = zip(runs["task"], runs["score"], runs["split"], strict=True)
    return runs.assign(column=pd.Series([labels.get(key) for key in keys], runs.index, object)).dropna(subset="column")


def method_rows(spec: TableSpec, runs: pd.DataFrame) -> list[MethodRow]:
    """The rows a table lists, then the other methods by name if it wants them."""
    listed = {row.method for row in spec.rows}
    others = sorted(set(runs["method"]) - listed) if spec.other_methods else []
    return [*spec.rows, *(MethodRow(method, method) for method in others)]
