"""A run's final model on one engine beside the untouched one: which is faster, how large, and what it still scores."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dsee_bench.deploy import engines
from dsee_bench.deploy.energy import energies
from dsee_bench.deploy.engines import Deployed, Refused, Source, first_line
from dsee_bench.deploy.timing import Timed, in_turn
from dsee_bench.record import Cost, Deployment, Score
from dsee_bench.system.provenance import machine

Scorer = Callable[[Deployed], tuple[Score, ...]]  # Refused where the engine's model cannot be scored


@dataclass(frozen=True)
class Clock:
    """What is timed, and how long at most."""

    seconds: float  # of timing one pair of models
    batch: int = 32
    tokens: int = 128


def timing_batch(tokenizer: Any, vocabulary: int, clock: Clock) -> dict[str, Tensor]:
    """Return random tokens (batch, tokens) under the names that the model's tokenizer gives its inputs, no padding."""
    shape = (clock.batch, clock.tokens)
    fills = {
        "input_ids": torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(0)),
        "attention_mask": torch.ones(shape, dtype=torch.long),
        "token_type_ids": torch.zeros(shape, dtype=torch.long),
    }
    return {name: fills[name] for name in tokenizer("a text") if name in fills}


def measured(
    name: str, final: Source, dense: Source, batch: Mapping[str, Tensor], clock: Clock, score: Scorer | None = None
) -> Deployment:
    """Time the final model and the untouched one in turn on the engine, and score the final one there.

    What goes wrong inside an engine is the reason of the result: one engine must not cost a run the other ones.
    """
    with tempfile.TemporaryDirectory(prefix="dsee-bench-") as folder:
        ours, theirs = Path(folder, "final"), Path(folder, "dense")
        ours.mkdir()
        theirs.mkdir()
        try:
            pair = engines.deploy(name, final, ours), engines.deploy_dense(name, dense, theirs)
            timed = in_turn(*(lambda one=one: one.run(batch) for one in pair), seconds=clock.seconds)
        except Refused as error:
            return Deployment(engine=name, reason=str(error))
        except Exception as error:
            return Deployment(engine=name, reason=f"{type(error).__name__}: {first_line(error)}")
        scores: tuple[Score, ...] = ()
        unscored = None
        try:
            scores = () if score is None else score(pair[0])
        except Refused as error:
            unscored = str(error)
        except Exception as error:
            unscored = f"{type(error).__name__}: {first_line(error)}"
        return _deployment(name, pair, timed, clock, scores, unscored)


def _deployment(
    name: str,
    pair: tuple[Deployed, Deployed],
    timed: Timed,
    clock: Clock,
    scores: tuple[Score, ...],
    unscored: str | None,
) -> Deployment:
    ours, theirs = pair
    return Deployment(
        engine=name,
        machine={
            **machine(ours.device, torch.get_num_threads()),
            "packages": {package: version(package) for package in ours.packages},
        },
        precision=ours.precision,
        note=ours.note,
        batch=clock.batch,
        tokens=clock.tokens,
        latency_ms=statistics.median(timed.first),
        latency_dense_ms=statistics.median(timed.second),
        quartiles_ms=_quartiles(timed.first),
        quartiles_dense_ms=_quartiles(timed.second),
        ratio=timed.ratio,
        interval=timed.interval,
        rounds=len(timed.first),
        seconds=timed.seconds,
        noisy=timed.noisy,
        bytes=ours.bytes,
        dense_bytes=theirs.bytes,
        scores=scores,
        unscored=unscored,
    )


def _quartiles(times: Sequence[float]) -> tuple[float, float]:
    low, _, high = statistics.quantiles(times, n=4)
    return low, high


def time_costs(deployment: Deployment) -> tuple[Cost, ...]:
    """Return what was timed as costs of a record; ValueError where the engine refused the model."""
    if deployment.latency_ms is None or deployment.ratio is None or deployment.interval is None:
        raise ValueError(f"{deployment.engine} was not timed: {deployment.reason}")
    setting = deployment.setting
    low, high = deployment.interval
    sure = f"95 % interval {low:.4f} to {high:.4f}, {deployment.rounds} rounds in {deployment.seconds:.0f} s"
    compared = f"latency_ms / latency_dense_ms, {setting}; median over the rounds, {deployment.noisy or sure}"
    rate = 1000 * (deployment.batch or 0) * (deployment.tokens or 0) / deployment.latency_ms
    return (
        _time("latency_ms", deployment.latency_ms, deployment.quartiles_ms, deployment),
        _time("latency_dense_ms", deployment.latency_dense_ms, deployment.quartiles_dense_ms, deployment),
        Cost("latency_ratio", deployment.ratio, "ratio", compared),
        Cost("tokens_per_second", rate, "tokens/s", f"of the final model's forward pass, {setting}"),
    )


def _time(name: str, value: float | None, quartiles: tuple[float, float] | None, deployment: Deployment) -> Cost:
    low, high = quartiles or (0.0, 0.0)
    spread = f"quartiles {low:.1f} and {high:.1f} of {deployment.rounds} rounds"
    return Cost(name, value, "ms", f"one forward pass, {deployment.setting}; median in turn, {spread}")


def energy_costs(final: Source, dense: Source, batch: Mapping[str, Tensor]) -> tuple[Cost, ...]:
    """Return the joules of a forward pass of both models in torch; None with the reason where nothing counts them."""
    with tempfile.TemporaryDirectory(prefix="dsee-bench-") as folder:
        ours, theirs = (engines.deploy("torch", source, Path(folder)) for source in (final, dense))
        return energies(
            lambda: ours.run(batch), lambda: theirs.run(batch), f"{ours.device}, {torch.get_num_threads()} threads"
        )
