"""Records as one pandas frame: a row for each score of each finished run, with that run's costs as columns.

Every number keeps what is needed to judge whether it may stand beside another one: the checksum of the split it was
scored on and of the training split, the number of examples, the checkpoint, the metric's signature, the schema.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from dsee_bench.record import Cost, Record

COLUMNS = [  # besides the costs
    *("run_id", "backbone", "task", "method", "seed", "checkpoint", "schema", "settings", "train_sha256"),
    *("commit", "dirty", "device", "counts"),
    *("score", "split", "value", "unit", "better", "n", "signature", "sha256", "reason"),
]


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return one row for each (run, score) of the finished runs; costs are columns by their names, None where missing.

    `settings` is the flattened config without the seed; `counts` says for each cost what it counts. Costs beside those
    of the record are derived from it: `latency_saved`, 1 - latency_ms / latency_dense_ms, of a run that was timed;
    `heads` and `neurons`, what is left of them in all layers.
    """
    rows = [row for record in records if record.status == "finished" for row in _rows(record)]
    table = pd.DataFrame(rows, dtype=object) if rows else pd.DataFrame(columns=COLUMNS)
    return table.sort_values("run_id", kind="stable", ignore_index=True)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"train": {"epochs": 3}}` as `{"train.epochs": 3}`; lists become tuples, so that values can be compared."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = tuple(value) if isinstance(value, list) else value
    return flat


def _rows(record: Record) -> list[dict[str, Any]]:
    settings = flatten(record.config)
    run = {
        "run_id": record.run_id,
        "backbone": settings["backbone.name"],
        "task": settings["task.name"],
        "method": settings["method.name"],
        "seed": settings.pop("seed"),
        "checkpoint": record.checkpoint,
        "schema": record.schema,
        "settings": settings,
        "train_sha256": _checksum(record, "train"),
        "commit": record.made_by.get("commit"),
        "dirty": record.made_by.get("dirty"),
        "device": record.made_by.get("device"),
        "counts": {cost.name: cost.counts for cost in record.costs},
    }
    costs = {cost.name: cost.value for cost in record.costs}
    for cost in _derived(record, costs):
        costs[cost.name] = cost.value
        run["counts"][cost.name] = cost.counts
    return [
        costs  # first, so that none takes the place of what says whose it is
        | run
        | {
            "score": score.name,
            "split": score.split,
            "value": score.value,
            "unit": score.unit,
            "better": score.better,
            "n": score.n,
            "signature": score.signature,
            "sha256": _checksum(record, score.split),
            "reason": score.reason,
        }
        for score in record.scores
    ]


def _derived(record: Record, costs: Mapping[str, float | None]) -> Iterator[Cost]:
    final, dense = costs.get("latency_ms"), costs.get("latency_dense_ms")
    if final is not None and dense:
        counts = "of the time of the untouched model, timed in turn with the final one"
        yield Cost("latency_saved", 1 - final / dense, "share", counts)
    backbone = record.config["backbone"]
    if not {"layers", "heads", "ffn"} <= backbone.keys():
        return
    heads, neurons = backbone["layers"] * backbone["heads"], backbone["layers"] * backbone["ffn"]
    sharing = backbone["heads"] // (backbone.get("key_heads") or backbone["heads"])  # removed and kept together
    for stage in record.stages:
        if {"heads", "neurons"} <= stage.facts.keys():
            heads = sharing * sum(len(kept) for kept in stage.facts["heads"])
            neurons = sum(stage.facts["neurons"])
    yield Cost("heads", heads, "heads", "attention heads left, in all layers")
    yield Cost("neurons", neurons, "neurons", "feed-forward neurons left, in all layers")


def _checksum(record: Record, split: str) -> str | None:
    return record.data.get(split, {}).get("sha256")
