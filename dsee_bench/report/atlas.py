"""The atlas as a page: from which sparsity on a pruned weight is faster, by pattern and engine, and what it costs.

A pattern breaks even at the smallest sparsity from which on the 95 % interval of the ratio (pruned / dense, in turn on
the same engine) lies below 1 at every sparsity that was measured.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tabulate import tabulate

from dsee_bench.deploy.atlas import read, slug
from dsee_bench.deploy.engines import skips
from dsee_bench.record import Record
from dsee_bench.report.cells import MAJORITY
from dsee_bench.report.results import frame

Row = Mapping[str, Any]
DASH = "–"
NEVER = "never"
NOISY = 0.1  # half of the interval, as a share of the ratio, from which on a number is marked


def rows_of(results_dir: Path) -> list[Row]:
    """Return the rows of all machines; ValueError where there is none."""
    files = sorted((results_dir / "atlas").glob("*.jsonl"))
    if not files:
        raise ValueError(f"no atlas in {results_dir / 'atlas'}; `dsee-bench atlas` measures this machine")
    return [row for file in files for row in read(file)]


def break_even(rows: Iterable[Row]) -> float | None:
    """Return the sparsity from which on all of these rows are faster than the dense weight; None for never."""
    found = None
    for row in sorted(rows, key=lambda row: -row["sparsity"]):
        if row["high"] >= 1:
            break
        found = row["sparsity"]
    return found


def page(rows: Sequence[Row], records: Sequence[Record]) -> str:
    """Return the page as Markdown: a section a machine, refusals, and what patterns cost in score."""
    parts = ["# Atlas: when does sparsity pay?", __doc__.partition("\n\n")[2].strip().replace("\n", " ")]
    for machine, own in _by(rows, "machine").items():
        timed = [row for row in own if row["reason"] is None]
        parts += [f"## {machine}", *_machine(timed), *_refusals(own)]
    cost = _score_costs(records)
    if cost:
        parts += ["## What zeros cost in score", _COST, _table(("pattern", "method", "zeros", "points", "cells"), cost)]
    return "\n\n".join(parts) + "\n"


_COST = (
    "Mean difference in points from full fine-tuning (`full`) of the same backbone, over tasks and seeds that both "
    "have, by the records here. Of removed heads and neurons the share is that of the FLOPs."
)


def _machine(timed: Sequence[Row]) -> Iterator[str]:
    if not timed:
        yield "No engine could take a weight."
        return
    releases = {f"{name} {release}" for row in timed for name, release in row["packages"].items()}
    where = {f"{row['device']}, {row['isa']}, {row['threads']} threads" for row in timed}
    yield f"{len(timed)} cells on {'; '.join(sorted(where))}; {', '.join(sorted(releases))}."
    yield "![Time of the pruned weight / time of the dense one](break-even-" + slug(timed[0]["machine"]) + ".svg)"
    shapes = list(dict.fromkeys(row["shape"] for row in timed))
    yield "Break-even sparsity where zeros are skipped:"
    yield _table(("pattern", "engine", "tokens", *shapes), _skipping(timed, shapes))
    saved = "Time saved, per cent, by a pattern whose zeros the engine does not skip, and by removed rows (outputs)"
    yield f"{saved}; ~: the time is known to no better than ± {NOISY:.0%}:"
    yield _table(("pattern", "zeros", "engine", "tokens", *shapes), _others(timed, shapes))
    yield "The dense weight on each engine, as times faster than in torch, float32:"
    yield _table(("engine", "precision", "tokens", *shapes), _dense(timed, shapes))


def _skipping(timed: Sequence[Row], shapes: Sequence[str]) -> Iterator[list[str]]:
    for (pattern, engine, tokens), part in _by(timed, "pattern", "engine", "tokens").items():
        if pattern not in skips(engine):
            continue
        by_shape = _by(part, "shape")
        found = {shape: break_even(own) for shape, own in by_shape.items()}
        cells = [_share(found[shape]) if shape in found else DASH for shape in shapes]
        yield [pattern, engine, str(tokens), *cells]


def _others(timed: Sequence[Row], shapes: Sequence[str]) -> Iterator[list[str]]:
    keys = ("pattern", "sparsity", "engine", "tokens")
    for (pattern, sparsity, engine, tokens), part in _by(timed, *keys).items():
        if pattern in skips(engine):
            continue
        found = {row["shape"]: _saved(row) for row in part}
        cells = [found.get(shape, DASH) for shape in shapes]
        yield [pattern, f"{sparsity:.0%}", engine, str(tokens), *cells]


def _saved(row: Row) -> str:
    noisy = (row["high"] - row["low"]) / 2 > NOISY * row["ratio"]
    return f"{100 * (1 - row['ratio']):.0f}{'~' if noisy else ''}"


def _dense(timed: Sequence[Row], shapes: Sequence[str]) -> Iterator[list[str]]:
    plain = {
        cell: median(row["dense_ms"] for row in part)
        for cell, part in _by([row for row in timed if row["engine"] == "torch"], "shape", "tokens").items()
    }
    for (engine, precision, tokens), part in _by(timed, "engine", "precision", "tokens").items():
        if engine.startswith("torch"):
            continue
        times = {shape: median(row["dense_ms"] for row in own) for shape, own in _by(part, "shape").items()}
        known = {shape: plain.get((shape, tokens)) for shape in times}
        cells = [f"{base / times[shape]:.2f}" if (base := known.get(shape)) else DASH for shape in shapes]
        yield [engine, precision, str(tokens), *cells]


def _refusals(rows: Iterable[Row]) -> Iterator[str]:
    refused = _by([row for row in rows if row["reason"] is not None], "engine", "reason")
    lines = [f"- {engine}: {reason} ({len(part)} cells)" for (engine, reason), part in refused.items()]
    if lines:
        yield "\n".join(lines)


def _score_costs(records: Sequence[Record]) -> list[list[str]]:
    """Lines of pattern, method, zeros, mean difference from `full`, and of how many task x seed."""
    runs = frame(records)
    if not len(runs):
        return []
    runs = runs[(runs["split"] == "dev") & runs["value"].notna()].drop_duplicates("run_id")
    keys = ["backbone", "task", "seed", "checkpoint", "score"]
    full = {tuple(run[key] for key in keys): run for run in runs.to_dict("records") if run["method"] == "full"}
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for run in runs.to_dict("records"):
        base, place = full.get(tuple(run[key] for key in keys)), pattern_of(run)
        if base is not None and place is not None and run["method"] != MAJORITY:
            pattern, share = place
            found[pattern, run["method"], f"{share:.0%}"].append(100 * (run["value"] - base["value"]))
    return [[*names, f"{fmean(values):+.1f}", str(len(values))] for names, values in sorted(found.items())]


def pattern_of(run: Mapping[Any, Any]) -> tuple[str, float] | None:
    """Return the pattern of a run's zeros and its share; None for a model that is as dense as before."""
    sparsity, saved = run.get("sparsity_masked") or 0, run.get("flops_saved") or 0
    settings = run["settings"]
    if sparsity > 0:
        fours = any(key.endswith(".scope") and str(value) == "2:4" for key, value in settings.items())
        return "2:4" if fours else "single", round(sparsity, 2)
    narrowed = any(str(value) == "Narrow" for value in settings.values())
    return ("heads and neurons", round(saved, 2)) if narrowed and saved > 0 else None


def _by(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    """The rows by their values of these names; one name gives the plain value."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        values = tuple(row[name] for name in names)
        found[values if len(names) > 1 else values[0]].append(row)
    return found


def _share(value: float | None) -> str:
    return NEVER if value is None else f"{value:.0%}"


def _table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return tabulate([list(line) for line in lines], headers=list(headings), tablefmt="pipe", disable_numparse=True)
