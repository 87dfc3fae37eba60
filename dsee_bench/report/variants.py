"""Which runs are one row of a table: those of one method whose settings differ by nothing but the seed.

Two runs on the same task that differ in any other setting are two variants, named by what differs. A setting that
differs between tasks only (a learning rate chosen for each task) does not split a row: it is the method's recipe.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Variant:
    """The runs of one row. `label` has as few of the settings as tell it from its siblings, `also` the other ones.

    A setting that always has the value of one in the label (a pool's sparsity that follows the stage's) is in neither.
    """

    label: str  # "" where the method has one variant only
    also: dict[str, Any]
    runs: pd.DataFrame


def variants(runs: pd.DataFrame) -> list[Variant]:
    """The runs of one method on one backbone, split by the settings that differ within a task, in order of them."""
    keys = differing(runs)
    values = runs["settings"].map(lambda settings: repr([settings.get(key) for key in keys]))
    parts = [part for _, part in runs.groupby(values)]
    found = [{key: part["settings"].iloc[0].get(key) for key in keys} for part in parts]
    named = telling(found)
    also = [key for key in keys if not any(all(each[key] == each[name] for each in found) for name in named)]
    made = [
        Variant(", ".join(f"{short(key)}={show(each[key])}" for key in named), {key: each[key] for key in also}, part)
        for each, part in zip(found, parts, strict=True)
    ]
    order = [[_order(each[key]) for key in [*named, *keys]] for each in found]
    return [made[place] for place in sorted(range(len(made)), key=order.__getitem__)]


def recipe(rows: Mapping[str, Variant]) -> Iterator[str]:
    """What the labels leave out: other settings that set a variant apart, and those chosen for each task. What is
    chosen for a task alike in all rows is said once."""
    for label, variant in rows.items():
        if variant.also:
            yield f"{label}: also {', '.join(f'{short(key)}={show(value)}' for key, value in variant.also.items())}"
    chosen = {label: _by_task(variant) for label, variant in rows.items()}
    said: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in sorted({key for values in chosen.values() for key in values}):
        rows_with = {label: values[key] for label, values in chosen.items() if key in values}
        everywhere = dict(pair for values in rows_with.values() for pair in values.items())
        if all(values.items() <= everywhere.items() for values in rows_with.values()):
            rows_with = {"": everywhere}
        for label, values in rows_with.items():
            if len(set(values.values())) > 1:
                said[label, _wording(values)].append(short(key))
    for (label, wording), names in said.items():
        yield f"{label}{': ' if label else ''}{', '.join(names)} {'is' if len(names) == 1 else 'are'} {wording}"


def _by_task(variant: Variant) -> dict[str, dict[str, str]]:
    """Value by task of each setting of the method and of training; what a stage only takes over from training, its
    `learning_rate` from `lr_adapter`, is left out."""
    settings = {str(task): part["settings"].iloc[0] for task, part in variant.runs.groupby("task")}
    keys = {key for each in settings.values() for key in each if key.startswith(("method.", "train."))}
    found = {key: {task: show(each.get(key)) for task, each in settings.items()} for key in keys}
    trained = {key: values for key, values in found.items() if key.startswith("train.")}
    taken = [(_kind(key), values) for key, values in trained.items()]
    return trained | {key: values for key, values in found.items() if (_kind(key), values) not in taken}


def _kind(key: str) -> str:
    """What a setting is a number of, for the last word of its name says so: `epochs`, `rate`."""
    return key.rpartition(".")[2].rpartition("_")[2]


def _wording(values: Mapping[str, str]) -> str:
    """`1 for sst2; 3 for cola, rte`."""
    tasks = defaultdict(list)
    for task, value in sorted(values.items()):
        tasks[value].append(task)
    return "; ".join(f"{value} for {', '.join(tasks[value])}" for value in sorted(tasks))


def differing(runs: pd.DataFrame) -> list[str]:
    """The settings that have more than one value among the runs of some one task, sorted by name."""
    found: set[str] = set()
    for _, part in runs.drop_duplicates("run_id").groupby("task"):
        settings = part["settings"].tolist()
        names = {name for each in settings for name in each}
        found |= {name for name in names if len({repr(each.get(name)) for each in settings}) > 1}
    return sorted(found)


def telling(found: list[dict[str, Any]]) -> list[str]:
    """As few of the settings as tell the variants apart: the method's own before others, the least nested first."""
    chosen: list[str] = []
    told = 1
    for key in sorted(found[0], key=_nesting):
        apart = len({repr([values[name] for name in [*chosen, key]]) for values in found})
        if apart > told:
            chosen, told = [*chosen, key], apart
    return chosen


def _nesting(key: str) -> tuple[bool, bool, int, int, str]:
    return (key.endswith("_target_"), not key.startswith("method."), key.count("."), len(key), key)


def short(key: str) -> str:
    """`method.stages.prune.sparsity` as `prune.sparsity`, which is also what the command line's user thinks of."""
    return key.removeprefix("method.stages.").removeprefix("method.")


def show(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(show(item) for item in value)
    return "none" if value is None else str(value)


def _order(value: object) -> tuple[bool, float, str]:
    """Numbers by size before everything else by name."""
    number = isinstance(value, int | float)
    return (not number, float(value) if isinstance(value, int | float) else 0.0, show(value))
