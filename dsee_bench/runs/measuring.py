"""What `measure=true` does to a run's final model: time it, weigh it, and score it again on each engine asked for."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from dsee_bench.deploy.deployment import Clock, Scorer, energy_costs, measured, time_costs, timing_batch
from dsee_bench.deploy.engines import Deployed, Refused, Source
from dsee_bench.deploy.export import detached, merged
from dsee_bench.deploy.measure import disk_bytes
from dsee_bench.deploy.onnx_file import ONNX_FILE, write_onnx
from dsee_bench.deploy.peft_form import Base
from dsee_bench.models.fused import join
from dsee_bench.monitoring.console import info, warn
from dsee_bench.plan import TOKENS, Settings
from dsee_bench.record import Cost, Deployment, Score
from dsee_bench.runs.asked import Asked
from dsee_bench.runs.exporting import write
from dsee_bench.stages.stage import RunState
from dsee_bench.tasks.example import CAUSAL
from dsee_bench.training.batch import SortedByLength, collator, encode_split
from dsee_bench.training.decode import answer_texts
from dsee_bench.training.evaluate import answered
from dsee_bench.training.job import EVAL_BATCH
from dsee_bench.training.perplexity import measure as perplexity

CALIBRATED_ON = 256  # training rows


def measured_as_asked(
    settings: Settings, state: RunState, wanted: Asked
) -> tuple[tuple[Cost, ...], tuple[Deployment, ...]]:
    """Return what is measured of the final model: times, bytes on disk in the form that `export` gives it, engines."""
    if not wanted:
        return (), ()
    assert state.fresh is not None
    timed, engines = measure_model(settings, state, state.fresh(), wanted)
    if not wanted.times:
        return timed, engines
    with tempfile.TemporaryDirectory() as folder:
        written = write(settings, state, Path(folder) / "model", Base(settings.backbone.name), onnx=False)
    return (*timed, disk_bytes(written)), engines


def measure_model(
    settings: Settings, state: RunState, dense: PreTrainedModel, wanted: Asked
) -> tuple[tuple[Cost, ...], tuple[Deployment, ...]]:
    """Return the times of the final model beside the untouched one as costs, and what each engine makes of it."""
    plain, form = detached(state.model, state.adapters, state.spec, settings.launch.export_adapter)
    dense = dense.to(state.model.device)
    if form != "apart":  # an adapter apart lies on the parts of a fused weight, which stay parts
        join(plain)
        join(dense)
    clock = Clock(settings.launch.measure_seconds, tokens=TOKENS)
    batch = timing_batch(state.setup.tokenizer, state.model.config.vocab_size, clock)
    with tempfile.TemporaryDirectory(prefix="dsee-bench-") as folder:
        kept = state.model if form == "apart" else plain
        merging = partial(merged, state.model, state.adapters, state.spec)
        final = _source(state, kept, merging, Path(folder, "final"))
        untouched = _source(state, dense, partial(merged, dense, None, state.spec), Path(folder, "dense"))
        found = []
        for name in wanted.engines:
            found.append(measured(name, final, untouched, batch, clock, _scorer(state)))
            _say(found[-1])
        timed = next((one for one in found if one.engine == "torch" and one.reason is None), None)
        costs: tuple[Cost, ...] = ()
        if wanted.times:
            timed = timed or measured("torch", final, untouched, batch, clock)
            costs = time_costs(timed)
            if timed.noisy:
                warn(f"{timed.noisy}; time on an idle machine, or give measure_seconds more")
        if wanted.energy:
            costs += energy_costs(final, untouched, batch)
    return costs, tuple(found)


def _say(deployment: Deployment) -> None:
    if deployment.reason is not None:
        warn(f"{deployment.engine}: {deployment.reason}")
        return
    assert deployment.ratio is not None
    scores = ", ".join(f"{score.name} {score.value}" for score in deployment.scores) or deployment.unscored
    more = f"; {deployment.noisy}" if deployment.noisy else ""
    info(f"  {deployment.engine}: {1 - deployment.ratio:.1%} of the time saved, {scores}{more}")


def _source(state: RunState, model: PreTrainedModel, merge: Callable[[], PreTrainedModel], folder: Path) -> Source:
    """The model for engines; `merge` gives it without adapter modules, to be written as ONNX the first time it is asked
    for."""
    written: list[Path] = []

    def onnx() -> Path:
        if not written:
            folder.mkdir(exist_ok=True)
            write_onnx(merge(), state.setup.tokenizer, folder / ONNX_FILE)
            written.append(folder / ONNX_FILE)
        return written[0]

    return Source(model.eval(), onnx, lambda: calibration_rows(state))


def calibration_rows(state: RunState) -> Iterator[dict[str, Tensor]]:
    """Yield batches of training rows without labels, to find the ranges of 8-bit inputs."""
    setup = state.setup
    rows = encode_split(
        state.data["train"], setup.tokenizer, setup.recipe.max_length, CALIBRATED_ON, truncate=setup.truncate
    )
    yield from (batch for batch, _ in _batches(SortedByLength(rows), setup))


def _batches(rows: SortedByLength, setup: Any) -> Iterator[tuple[dict[str, Tensor], list[Any]]]:
    """Yield padded batches of inputs, and their labels."""
    pad = collator(setup.tokenizer, rows.rows)
    for start in range(0, len(rows), EVAL_BATCH):
        batch = dict(pad(rows.__getitems__(range(start, min(start + EVAL_BATCH, len(rows))))))
        yield batch, batch.pop("labels").tolist()


def _scorer(state: RunState) -> Scorer:
    """The scores of a deployed model: of a classifier on dev, of texts where the run itself was scored."""
    kind = state.setup.task.kind

    def score(deployed: Deployed) -> tuple[Score, ...]:
        if kind in CAUSAL:
            return _scored_texts(state, deployed)
        if kind == "multiple_choice" and deployed.module is None:
            raise Refused("the choices of a question are compared in torch alone")
        setup, split = state.setup, state.data["dev"]
        rows = SortedByLength(encode_split(split, setup.tokenizer, setup.recipe.max_length, truncate=setup.truncate))
        logits: list[np.ndarray] = []
        references: list[Any] = []
        for batch, labels in _batches(rows, setup):
            logits += list(deployed.run(batch).float().cpu().numpy())
            references += labels
        return answered(setup.task, np.asarray(rows.restore(logits)), rows.restore(references), "dev").scores

    return score


def _scored_texts(state: RunState, deployed: Deployed) -> tuple[Score, ...]:
    """The scores of a language model: of the texts that it writes, or of how well it predicts those of dev."""
    setup, module = state.setup, deployed.module
    if module is None:
        raise Refused("this engine writes no texts")
    if setup.task.kind == "language_modeling":
        return perplexity(module, setup, state.data["dev"]).scores
    with tempfile.TemporaryDirectory(prefix="dsee-bench-") as folder:
        found = answer_texts(
            module,
            setup.tokenizer,
            setup.task,
            state.data,
            Path(folder),
            setup.recipe.max_length,
        )
        return tuple(score for split in found for score in split.scores)
