"""Costs in a table: how they are written, which are only theoretical, and one time for one shape of model."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from dsee_bench.record import Record
from dsee_bench.report.rows import Variant
from dsee_bench.report.spec import CostColumn

TEXTS = {  # how it is shown -> factor and pattern
    "count": (1, "{:,.0f}"),
    "percent": (100, "{:.1f} %"),
    "giga": (1e-9, "{:.2f} G"),
    "mega": (1e-6, "{:.1f} M"),
    "plain": (1, "{:.1f}"),
}
TIMES = ("latency_ms", "latency_dense_ms", "latency_saved", "tokens_per_second")
MASKED = "masked_entries"
THEORETICAL = ("flops_final", "flops_saved")  # where zeros are scattered: no kernel here skips them
WHY_THEORETICAL = "theoretical: no kernel here skips scattered zeros; what they save in time is in the column of times"


def cost_text(value: float, how: str) -> str:
    """Return a cost as the column's `show` asks for it."""
    scale, pattern = TEXTS[how]
    return pattern.format(scale * value)


def masked_entries(record: Record) -> int:
    """Return how many entries of W the last mask of a run set to zero; zeros that the weights had are none of them."""
    return int(next((s.facts["zeroed_entries"] for s in reversed(record.stages) if "zeroed_entries" in s.facts), 0))


def is_theoretical(cost: str, masked: object) -> bool:
    """Return whether a run's cost counts scattered zeros as saved; `masked` is how many entries its mask zeroed."""
    return cost in THEORETICAL and isinstance(masked, int | float) and masked > 0


def texts(values: Sequence[Mapping[str, float | None]], columns: Sequence[CostColumn]) -> Iterator[str | None]:
    """Yield for each column the least and the most of a row's costs, one mapping a cell, as text."""
    for column in columns:
        word = any(is_theoretical(column.cost, costs.get(MASKED)) for costs in values)
        text = _range((costs.get(column.cost) for costs in values), column)
        yield f"{text} theoretical" if text and word else text


def _range(values: Iterable[float | None], column: CostColumn) -> str | None:
    known = sorted(value for value in values if value is not None)
    shown = [cost_text(value, column.show) for value in known[:1] + known[-1:]]
    return "–".join(dict.fromkeys(shown)) or None


def with_pooled_times(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with one time a shape: the median over the timed runs with as many heads and neurons.

    Every task narrows a model to the same shape, so what differs between its runs is the machine's noise.
    """
    timed = [cost for cost in TIMES if cost in runs and runs[cost].notna().any()]
    if not timed:
        return runs
    once = runs.drop_duplicates("run_id")
    times = once[timed].astype(float)
    medians = times.groupby(_shapes(once)).transform("median").where(times.notna()).set_axis(once["run_id"])
    return runs.assign(**{cost: runs["run_id"].map(medians[cost]) for cost in timed})


def _shapes(runs: pd.DataFrame) -> pd.Series:
    """The shape of each run's model, and how it was timed: times of one key can be compared."""
    sizes = runs.reindex(columns=["heads", "neurons"])
    clocked = (str(counts.get("latency_ms")).split(", quartiles ")[0] for counts in runs["counts"])
    return pd.Series(list(zip(sizes["heads"], sizes["neurons"], clocked, strict=True)), runs.index, object)


def spread_of_times(rows: Mapping[str, Variant]) -> Iterator[str]:
    """Yield for each row of several timed runs what their median hides."""
    for label, variant in rows.items():
        if "latency_saved" not in variant.runs:
            continue
        timed = variant.runs[variant.runs["latency_saved"].notna()].drop_duplicates("run_id")
        for _, part in timed.groupby(_shapes(timed)):
            low, high = part["latency_saved"].min(), part["latency_saved"].max()
            if len(part) > 1:
                ends = f"{cost_text(low, 'percent')} to {cost_text(high, 'percent')}"
                yield f"{label}: times are the median of {len(part)} timed runs; time saved is {ends} in single ones"
