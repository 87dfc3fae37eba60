"""What engines made of finished models, as records: one for each run and engine, with the scores and times there."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dsee_bench.record import Cost, Deployment, Record, Score
from dsee_bench.report.costs import TIMES

PER_ENGINE = (*TIMES, "latency_ratio", "disk_bytes", "energy_j", "energy_dense_j")  # of the run's own measuring


def on_engines(records: Iterable[Record]) -> Iterator[Record]:
    """Yield each finished run once for each engine that it was measured on, with the settings `engine` and `machine`.

    Where the engine could not take the model, or its answers could not be scored, the scores are None with the reason.
    """
    for record in records:
        reference = next((one for one in record.engines if one.engine == "torch"), None)
        for deployment in record.engines:
            yield replace(
                record,
                run_id=f"{record.run_id} on {deployment.engine}",
                config=record.config | {"engine": deployment.engine, "machine": _machine(record, deployment)},
                scores=_scores(record, deployment),
                costs=(*(cost for cost in record.costs if cost.name not in PER_ENGINE), *_costs(deployment, reference)),
                engines=(),
            )


def _machine(record: Record, deployment: Deployment) -> str:
    where = deployment.machine or record.made_by.get("measured", record.made_by)
    return f"{where.get('device')} ({where.get('isa')}), {where.get('threads')} threads"


def _scores(record: Record, deployment: Deployment) -> tuple[Score, ...]:
    if deployment.scores:
        return deployment.scores
    why = deployment.reason or deployment.unscored or "it was not scored"
    return tuple(replace(score, value=None, reason=why) for score in record.scores)


def _costs(deployment: Deployment, reference: Deployment | None) -> Iterator[Cost]:
    """Times and bytes on the engine, and the time saved beside the untouched model in torch."""
    if deployment.latency_ms is None:
        return
    of = f"one forward pass, {deployment.batch} x {deployment.tokens} tokens; median in turn"
    yield Cost("latency_ms", deployment.latency_ms, "ms", of)
    yield Cost("latency_dense_ms", deployment.latency_dense_ms, "ms", f"{of}, of the untouched model on the engine")
    if deployment.interval is not None:
        low, high = deployment.interval
        yield Cost("known_to", (high - low) / 2, "share", "half of the 95 % interval of the ratio final / dense")
    yield Cost("engine_bytes", deployment.bytes, "bytes", "the weights as the engine takes them")
    if reference is not None and reference.latency_dense_ms and _same_place(deployment, reference):
        counts = "of the time of the untouched model in torch, float32, on the same processor; not timed in turn"
        yield Cost("saved_beside_torch", 1 - deployment.latency_ms / reference.latency_dense_ms, "share", counts)


def _same_place(a: Deployment, b: Deployment) -> bool:
    return all(a.machine.get(key) == b.machine.get(key) for key in ("device", "isa", "threads"))
