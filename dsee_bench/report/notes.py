"""What stands under a table: all that a reader has to know to judge its numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from dsee_bench.config import CONF, recipes
from dsee_bench.report.spec import Published, ScoreColumn, TableSpec
from dsee_bench.report.variants import Variant, recipe

CELLS = (
    "Cells are the mean ± sample standard deviation over seeds, with the number of seeds; – was not run. "
    "Bold: the best mean among the rows of a backbone; ≈: not told from it by Welch's t-test over seeds (p ≥ 0.05)."
)


def notes(
    runs: pd.DataFrame,
    rows: Mapping[str, Variant],
    columns: Sequence[ScoreColumn],
    spec: TableSpec,
    published: Sequence[Published],
) -> Iterable[str]:
    """How to read a cell; split, size and signature of each score; what each cost counts; sources; commits."""
    yield CELLS
    for column in columns:
        part = runs[runs["column"] == column.label]
        if len(part):
            signatures = " or ".join(sorted(set(part["signature"])))
            size = f"{part['n'].iloc[0]:,} examples of {part['split'].iloc[0]}"
            yield f"{column.label}: {column.score} on {size}; {signatures}"
            undefined = part[part["value"].isna()]
            if len(undefined):
                yield f"{column.label}: no value, and so left out, in {', '.join(undefined['run_id'])}"
    if spec.average is not None:
        yield f"{spec.average.label}: mean over {', '.join(spec.average.over)}, where a row has them all"
    for cost in spec.costs:
        # Quartiles of a time are those of one run: they stand in its record, and are no part of what is counted.
        counts = {counts[cost.cost].split(", quartiles ")[0] for counts in runs["counts"] if cost.cost in counts}
        if counts:
            yield f"{cost.label}: {' or '.join(sorted(counts))}"
    yield from _sources(runs)
    yield from recipe(rows)
    for number, row in enumerate(published, 1):
        yield f"[{number}] {row.label}, {row.backbone}: {row.source}"
    yield _made(runs)


def _sources(runs: pd.DataFrame) -> Iterator[str]:
    """Whose recipes the runs have, and which backbones, tasks and methods each was not made for."""
    once = runs.drop_duplicates("run_id")
    names = once["settings"].map(lambda settings: settings.get("train.name"))
    for name, part in once[names.notna()].groupby(names):
        runs_of = [{group: str(run[group]) for group in recipes.NAMED} for run in part.to_dict("records")]
        yield recipes.of_runs(str(name), runs_of, CONF)


def _made(runs: pd.DataFrame) -> str:
    """Of how many runs the table is, of which commits, and on what they ran."""
    once = runs.drop_duplicates("run_id")
    commits = sorted({"an unknown commit" if commit is None else commit[:7] for commit in once["commit"]})
    shown = ", ".join(commits) if len(commits) <= 5 else f"{len(commits)} commits"
    devices = "; ".join(sorted({"an unknown device" if device is None else device for device in once["device"]}))
    changed = int(once["dirty"].map(bool).sum())
    return f"{len(once)} runs, made at {shown}, on {devices}" + (
        f"; {changed} with uncommitted changes" if changed else ""
    )
