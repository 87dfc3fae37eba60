"""Records as one pandas frame: a row for each score of each finished run, with that run's costs as columns.

Every number keeps what decides whether it may be compared with another: the checksum of the split it was scored on and
of the training split, the number of examples, the checkpoint, the metric's signature, the schema.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from dsee_bench.config.validate import TARGET
from dsee_bench.pruning.surgery import neurons
from dsee_bench.record import Cost, Record, Retained
from dsee_bench.report.costs import MASKED, masked_entries
from dsee_bench.report.records import model_spec

COLUMNS = [  # besides the costs
    *("run_id", "backbone", "task", "method", "seed", "checkpoint", "schema", "settings", "train_sha256"),
    *("commit", "dirty", "device", "counts"),
    *("score", "split", "value", "unit", "better", "n", "signature", "sha256", "reason"),
]


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row for each (run, score) of the finished runs; costs are columns by their names, None where missing.

    The scores on other tasks (`retention`) are such rows too; their split is `TASK/SPLIT first`, `last` or `change`.
    `settings` is the flattened config without the seed; `counts` says for each cost what it counts. Four costs are
    derived from the record: `latency_saved`, 1 - latency_ms / latency_dense_ms, of a run that was timed;
    `masked_entries`, how many entries of W the last mask set to zero; `heads` and `neurons`, how many are left in all
    layers.
    """
    finished = [record for record in records if record.status == "finished"]
    settings = _settings(finished)
    results = [result for record, own in zip(finished, settings, strict=True) for result in _results(record, own)]
    table = pd.DataFrame(results, dtype=object) if results else pd.DataFrame(columns=COLUMNS)
    return table.sort_values("run_id", kind="stable", ignore_index=True)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `{"train": {"epochs": 3}}` as `{"train.epochs": 3}`.

    Lists become tuples, which can be compared. Of a class only the name stays, as in a run id: its module may move.
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif key == TARGET:
            flat[f"{prefix}{key}"] = str(value).rpartition(".")[2]
        else:
            flat[f"{prefix}{key}"] = tuple(value) if isinstance(value, list) else value
    return flat


def _settings(records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """The flattened settings of each record without the seed; records that share their groups share these too."""
    known: dict[object, dict[str, Any]] = {}
    for record in records:
        config = {name: value for name, value in record.config.items() if name != "seed"}
        key = tuple((name, id(value)) for name, value in config.items())  # the records live on, and so do their values
        if key not in known:
            known[key] = flatten(config)
        yield known[key]


def _results(record: Record, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    costs = [*record.costs, *_derived(record)]
    run = {cost.name: cost.value for cost in costs} | {  # a cost cannot take the place of what identifies the run
        "run_id": record.run_id,
        "backbone": settings["backbone.name"],
        "task": settings["task.name"],
        "method": settings["method.name"],
        "seed": record.config["seed"],
        "checkpoint": record.checkpoint,
        "schema": record.schema,
        "settings": settings,
        "train_sha256": _checksum(record, "train"),
        **{key: record.made_by.get(key) for key in ("commit", "dirty", "device")},
        "counts": {cost.name: cost.counts for cost in costs},
    }
    for score in record.scores:
        fields = {key: getattr(score, key) for key in ("split", "value", "unit", "better", "n", "signature", "reason")}
        yield run | fields | {"score": score.name, "sha256": _checksum(record, score.split)}
    for split, kept in _retained(record):
        fields = {key: getattr(kept, key) for key in ("value", "unit", "better", "n", "signature", "reason", "sha256")}
        yield run | fields | {"score": kept.name, "split": split}


def _retained(record: Record) -> Iterator[tuple[str, Retained]]:
    """Yield the scores on other tasks as splits: `wikitext2/test first` and `last` of the run, and their `change`."""
    series: dict[tuple[str, str, str], list[Retained]] = defaultdict(list)
    for score in record.retention:
        series[score.task, score.split, score.name].append(score)
    for (task, split, _), scores in series.items():
        first, last = scores[0], scores[-1]
        yield f"{task}/{split} last", last
        if len(scores) > 1:
            yield f"{task}/{split} first", first
            known = first.value is not None and last.value is not None
            value = last.value - first.value if known else None  # type: ignore[operator]  # both are known
            yield f"{task}/{split} change", replace(last, value=value, reason=first.reason or last.reason)


def _derived(record: Record) -> Iterator[Cost]:
    costs = {cost.name: cost.value for cost in record.costs}
    final, dense = costs.get("latency_ms"), costs.get("latency_dense_ms")
    if final is not None and dense:
        counts = "of the time of the untouched model, timed in turn with the final one"
        yield Cost("latency_saved", 1 - final / dense, "share", counts)
    if record.config["method"].get("answers"):  # it has no model
        return
    yield Cost(MASKED, masked_entries(record), "entries", "entries of W that the last mask set to zero")
    try:
        spec = model_spec(record)
    except ValueError:  # settings of another release: the table prints a dash
        return
    heads, ffn = sum(spec.attention), sum(neurons(spec))
    for stage in record.stages:
        if {"heads", "neurons"} <= stage.facts.keys():
            heads = spec.queries_per_key * sum(map(len, stage.facts["heads"]))
            ffn = sum(stage.facts["neurons"])
    yield Cost("heads", heads, "heads", "attention heads left, in all layers")
    yield Cost("neurons", ffn, "neurons", "feed-forward neurons left, in all layers")


def _checksum(record: Record, split: str) -> str | None:
    return record.data.get(split, {}).get("sha256")
