"""The notes under a table: all that a reader has to know to judge its numbers."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd

from dsee_bench.config import CONF, recipes
from dsee_bench.report.cells import MAJORITY
from dsee_bench.report.costs import MASKED, TIMES, WHY_THEORETICAL, is_theoretical, spread_of_times
from dsee_bench.report.rows import Variant, short, show
from dsee_bench.report.spec import Average, Published, ScoreColumn, TableSpec

CELLS = (
    "Cells are the mean ± sample standard deviation over seeds, with the number of seeds; – was not run. "
    "Bold: the best mean among the rows of a backbone, never a single seed; ≈: no significant difference from it "
    "(Welch's t-test over seeds, p-values corrected by Holm's method for the rows of the column, p ≥ 0.05)."
)
CHANCE = (
    "†: not every run is above always giving the most frequent answer of the training rows (binomial test, p ≥ 0.05)"
)
OPTIMISTIC = (
    '"best dev": the checkpoint is chosen on the rows that are reported, as GLUE papers do; such scores are optimistic'
)


def notes(
    runs: pd.DataFrame,
    rows: Mapping[str, Variant],  # by label
    columns: Sequence[ScoreColumn],
    spec: TableSpec,
    averages: Sequence[Average],
    published: Sequence[Published],
) -> Iterator[str]:
    """Yield how to read a cell; split, size and signature of each score; what each cost counts; sources; commits."""
    yield CELLS
    if MAJORITY in set(runs["method"]):
        yield CHANCE
    if "best dev" in set(runs["checkpoint"]):
        yield OPTIMISTIC
    for column in columns:
        part = runs[runs["column"] == column.label]
        if len(part):
            signatures = " or ".join(sorted(set(part["signature"])))
            size = f"{part['n'].iloc[0]:,} examples of {part['split'].iloc[0]}"
            yield f"{column.label}: {column.score} on {size}; {signatures}"
            undefined = part[part["value"].isna()]
            if len(undefined) and not spec.engines:
                yield f"{column.label}: no value, and so left out, in {', '.join(undefined['run_id'])}"
    yield from _refused(runs) if spec.engines else ()
    for average in averages:
        yield f"{average.label}: mean over {', '.join(average.over)}, of the seeds that all of them have"
    for cost in spec.costs:
        # The quartiles of a time differ from run to run and stay in the record.
        counts = {counts[cost.cost].split(", quartiles ")[0] for counts in runs["counts"] if cost.cost in counts}
        if counts:
            yield f"{cost.label}: {' or '.join(sorted(counts))}"
    yield from _neighbours(rows)
    once = runs.drop_duplicates("run_id")
    masked = once.get(MASKED, pd.Series())
    if any(is_theoretical(cost.cost, count) for cost in spec.costs for count in masked):
        yield WHY_THEORETICAL
    if any(cost.cost in TIMES for cost in spec.costs):
        yield from spread_of_times(rows)
    yield from _recipes(once)
    yield from _settings(rows)
    for number, row in enumerate(published, 1):
        yield f"[{number}] {row.label}, {row.backbone}: {row.source}"
    yield _provenance(once)


def _refused(runs: pd.DataFrame) -> Iterator[str]:
    """Yield which engine had no score, why, and of how many runs."""
    undefined = runs[runs["value"].isna()]
    names = undefined["settings"].map(lambda settings: settings["engine"])
    for (engine, reason), part in undefined.groupby([names, undefined["reason"]]):
        runs_of = sorted({run.partition(" on ")[0] for run in part["run_id"]})
        yield f"{engine}: {reason} ({', '.join(runs_of)})"


def _neighbours(rows: Mapping[str, Variant]) -> Iterator[str]:
    """Yield which method each is to be compared with (`neighbour` in conf/method)."""
    methods = dict.fromkeys(variant.method for variant in rows.values())
    pairs = [f"{method}: {other}" for method in methods if (other := neighbour(method))]
    if pairs:
        yield f"each method's neighbour, to compare it with: {', '.join(pairs)}"


@cache
def neighbour(method: str) -> str | None:
    """Return the neighbour that conf/method states for the method of a record; None for none or an unknown method."""
    path = CONF / "method" / f"{method.replace('peft_', 'peft/', 1)}.yaml"
    if not path.is_file():
        return None
    from omegaconf import OmegaConf

    stated: Any = OmegaConf.load(path)
    return None if stated.get("neighbour") is None else str(stated["neighbour"])


def _recipes(runs: pd.DataFrame) -> Iterator[str]:
    """Yield the author of each recipe, and the backbones, tasks and methods that it was not made for."""
    names = runs["settings"].map(lambda settings: settings.get("train.name"))
    for name, part in runs[names.notna()].groupby(names):
        runs_of = [dict(zip(recipes.NAMED, map(str, run), strict=True)) for run in part[[*recipes.NAMED]].to_numpy()]
        yield recipes.of_runs(str(name), runs_of, CONF)


def _settings(rows: Mapping[str, Variant]) -> Iterator[str]:
    """Yield what the labels leave out: other settings that set a variant apart, and those chosen for each task. A
    choice that all rows share is stated once."""
    for label, variant in rows.items():
        if variant.also:
            yield f"{label}: also {', '.join(f'{short(key)}={show(value)}' for key, value in variant.also.items())}"
    chosen = {label: _by_task(variant) for label, variant in rows.items()}
    keys_of: dict[tuple[str, str], list[str]] = defaultdict(list)  # (label, values by task) -> settings
    for key in sorted({key for values in chosen.values() for key in values}):
        by_label = {label: values[key] for label, values in chosen.items() if key in values}
        joined = dict(pair for values in by_label.values() for pair in values.items())
        if all(values.items() <= joined.items() for values in by_label.values()):
            by_label = {"": joined}
        for label, values in by_label.items():
            if len(set(values.values())) > 1:
                keys_of[label, _wording(values)].append(short(key))
    for (label, wording), names in keys_of.items():
        yield f"{label}{': ' if label else ''}{', '.join(names)} {'is' if len(names) == 1 else 'are'} {wording}"


def _by_task(variant: Variant) -> dict[str, dict[str, str]]:
    """Return each setting of the method and of training by task; a setting that a stage takes over from training (its
    `learning_rate` from `lr_adapter`) is left out."""
    by_task = {str(task): part["settings"].iloc[0] for task, part in variant.runs.groupby("task")}
    keys = {key for settings in by_task.values() for key in settings if key.startswith(("method.", "train."))}
    values = {key: {task: show(settings.get(key)) for task, settings in by_task.items()} for key in keys}
    trained = {key: value for key, value in values.items() if key.startswith("train.")}
    taken = [(_quantity(key), value) for key, value in trained.items()]
    return trained | {key: value for key, value in values.items() if (_quantity(key), value) not in taken}


def _quantity(key: str) -> str:
    """The last word of a setting's name, which says what it is a number of: `epochs`, `rate`."""
    return key.rpartition(".")[2].rpartition("_")[2]


def _wording(values: Mapping[str, str]) -> str:
    """`1 for sst2; 3 for cola, rte`."""
    tasks = defaultdict(list)
    for task, value in sorted(values.items()):
        tasks[value].append(task)
    return "; ".join(f"{value} for {', '.join(tasks[value])}" for value in sorted(tasks))


def _provenance(runs: pd.DataFrame) -> str:
    """The number of runs, their commits, and the devices they ran on."""
    commits = sorted({"an unknown commit" if commit is None else commit[:7] for commit in runs["commit"]})
    shown = ", ".join(commits) if len(commits) <= 5 else f"{len(commits)} commits"
    devices = "; ".join(sorted({"an unknown device" if device is None else device for device in runs["device"]}))
    dirty = int(runs["dirty"].map(bool).sum())
    return f"{len(runs)} runs, made at {shown}, on {devices}" + (f"; {dirty} with uncommitted changes" if dirty else "")
