"""One run, from checked settings to a record: load, run the stages, score, count."""

import resource
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from dsee_bench import record
from dsee_bench.cache.listing import about
from dsee_bench.cache.store import Store, keys
from dsee_bench.cache.warm_start import start_from
from dsee_bench.deploy.export import detached, export
from dsee_bench.deploy.manifest import Manifest
from dsee_bench.deploy.measure import Clock, costs, disk_bytes, latencies
from dsee_bench.models.load import Loaded
from dsee_bench.monitoring.console import info, warn
from dsee_bench.monitoring.curve import Curve, points
from dsee_bench.monitoring.tracking import Tracker
from dsee_bench.plan import TOKENS, Settings
from dsee_bench.record import Cost, Record, StageLog
from dsee_bench.runs import notices
from dsee_bench.runs.data_check import note, other_rows
from dsee_bench.stages import forced
from dsee_bench.stages.stage import RunState
from dsee_bench.stages.tune import Tune
from dsee_bench.system import distributed, jsonl
from dsee_bench.system.damaged import remove
from dsee_bench.system.errors import UserError, as_mistake
from dsee_bench.tasks.generation import completions
from dsee_bench.training.decode import check_splits, decode_and_score
from dsee_bench.training.evaluate import Answers, evaluate, on_cpu, use_bf16


def execute(settings: Settings, work: Path, states: Path, tracker: Tracker) -> Record:
    """The record of the run, without `made_by`. Work files go to `work`, states for other runs to `states`."""
    state, inputs = prepare(settings, work)
    cut = notices.cut_rows(state, tuned=any(isinstance(stage, Tune) for stage in settings.stages.values()))
    for line in notices.of_data(state, cut):
        warn(line)
    if settings.launch.force and forced.read(work) is None:
        remove(work / "curve.jsonl")
        forced.begin(work)
    state.curve = _curve(settings, state, work, tracker)
    logs = run_stages(settings, state, work, states, inputs)
    done = Record(
        run_id=settings.run_id,
        status="finished",
        config=settings.config,
        made_by={},
        checkpoint=_checkpoint(settings, logs),
        scores=_score(state, work),
        costs=_costs(settings, state),
        stages=tuple(logs),
        data={
            name: {"n": len(split), "sha256": split.sha256} | ({"cut": cut[name]} if name in cut else {})
            for name, split in state.data.items()
        },
    )
    if settings.launch.export is not None:
        _export(settings, state, settings.launch.export)
    return done


def _checkpoint(settings: Settings, logs: list[StageLog]) -> str | None:
    """Which weights the scores are of: those that the last tuning chose, which may have found none better than the
    last (`why_last` in its facts says why)."""
    if not settings.stages:
        return None
    tuned = [log.facts for log in logs if "best_step" in log.facts]
    found = not tuned or tuned[-1]["best_step"] is not None
    return "best dev" if settings.recipe.checkpoint == "best" and found else "last"


def _curve(settings: Settings, state: RunState, work: Path, tracker: Tracker) -> Curve:
    """The run's curve, which the tracker sees too."""
    rows = len(state.data["train"])
    epochs = {name: stage.epochs if isinstance(stage, Tune) else 0 for name, stage in settings.stages.items()}
    steps = [settings.recipe.steps(rows, each) for each in epochs.values()]
    before = dict(zip(epochs, accumulate(steps, initial=0), strict=False))
    tracker.place(before, points(work / "curve.jsonl"))
    return Curve(work / "curve.jsonl", tracker.add)


def rebuild(settings: Settings, found: Record, work: Path, states: Path, *, measure: bool) -> tuple[Cost, ...]:
    """The model of a run that is done, once more: exported if asked for, and what was measured of it. Its stages are
    taken from the kept states, or repeated where these are gone. ValueError where the rows are others by now."""
    state, inputs = prepare(settings, work)
    names = other_rows(found, state.data)
    if names:
        raise UserError(
            f"the rows of {names} are not those of the record; give their data_dir, or force=true to run on these"
        )
    logs = run_stages(settings, state, work, states, inputs)
    tuned = [log.name for log in logs if "curve" in log.facts and "reused" not in log.facts]
    if tuned:
        info(f"  {', '.join(tuned)}: made anew, as the kept state is gone; the record has the scores of the first one")
    if settings.launch.export is not None:
        _export(settings, state, settings.launch.export)
    return _measured(settings, state) if measure else ()


def _export(settings: Settings, state: RunState, folder: Path) -> None:
    written = _write(settings, state, folder, onnx=settings.launch.export_onnx)
    size = sum(file["bytes"] for file in written.files.values()) / 1e6
    info(f"  exported to {folder}: update {written.update}, {written.storage}, {size:.1f} MB with the tokenizer")


def _write(settings: Settings, state: RunState, folder: Path, *, onnx: bool) -> Manifest:
    launch = settings.launch
    return export(
        state.model,
        state.tuner,
        state.spec,
        state.tokenizer,
        state.task,
        folder,
        backbone=settings.backbone.name,
        update=launch.export_adapter,
        storage=launch.export_storage,
        force=launch.force,
        run_id=settings.run_id,
        onnx=onnx,
    )


def _costs(settings: Settings, state: RunState) -> tuple[Cost, ...]:
    dense = settings.backbone.spec(settings.labels)
    counted = costs(state.model, state.tuner, state.spec, dense, state.masks, TOKENS)
    return (*counted, *_measured(settings, state)) if settings.launch.measure else counted


def _measured(settings: Settings, state: RunState) -> tuple[Cost, ...]:
    """Latency and disk of the model in the form that `export` gives it."""
    final, update, _ = detached(state.model, state.tuner, state.spec, settings.launch.export_adapter)
    clocked = latencies(
        state.model if update == "apart" else final, _load(settings).model.to(state.model.device), Clock(tokens=TOKENS)
    )
    with tempfile.TemporaryDirectory() as folder:
        written = _write(settings, state, Path(folder) / "model", onnx=False)
    return (*clocked, disk_bytes(written))


def prepare(settings: Settings, work: Path) -> tuple[RunState, dict[str, Any]]:
    """The state before the first stage, and what it was made from: checksums of weights and data."""
    with as_mistake():
        data = settings.task.load(settings.launch.data_dir, settings.seed)
        if settings.task.kind == "generation":
            check_splits(settings.task, data)
    inputs = {name: split.sha256 for name, split in data.items()}
    if distributed.is_main_process():
        note(work, settings.launch.data_dir, data)
    if settings.task.kind == "generation":
        data["train"] = completions(data["train"])
    if settings.launch.threads is not None:
        torch.set_num_threads(settings.launch.threads)
    loaded = _load(settings)
    if settings.launch.device == "auto" and torch.accelerator.is_available():
        loaded.model.to(torch.accelerator.current_accelerator())
    state = RunState(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        spec=settings.backbone.spec(settings.labels),
        task=settings.task,
        data=data,
        recipe=settings.recipe,
        stage="",
        seed=settings.seed,
        folder=work,
        device=settings.launch.device,
        save_every=settings.launch.save_every,
        fresh=lambda: _load(settings).model,
    )
    return state, {"weights": loaded.weights, "data": inputs, "made_with": _made_with(settings)}


def _made_with(settings: Settings) -> dict[str, Any]:
    """What else the numbers of a state depend on, beside settings, weights and rows; but for the number of threads,
    which moves the last digits."""
    device = settings.launch.device
    return {
        "packages": {name: version(name) for name in ("torch", "transformers", "peft", "accelerate")},
        "on_cpu": on_cpu(device),
        "auto_is_bf16": use_bf16("auto", device),
    }


def _load(settings: Settings) -> Loaded:
    set_seed(settings.seed)  # the task head starts from it
    with as_mistake():
        if settings.labels is None:
            return settings.backbone.load_lm()
        return settings.backbone.load(settings.labels, settings.task.kind == "regression")


def run_stages(
    settings: Settings, state: RunState, work: Path, states: Path, inputs: Mapping[str, Any]
) -> list[StageLog]:
    """Every stage in turn, from the last state that is kept; states after tuning stages are kept for others."""
    store = Store(states)
    names = list(settings.stages)
    after = dict(zip(names, keys(settings.config, inputs), strict=True))
    kept = [name for name in names if isinstance(settings.stages[name], Tune)]
    logs: list[StageLog] = []
    under_force = distributed.from_main_process(partial(forced.read, work)) if settings.launch.force else None

    def usable(name: str) -> bool:
        """Whether the state after a stage may be taken if it is whole; a forced run takes those that it made itself."""
        return under_force is None or after[name] in under_force.made

    def latest() -> str | None:
        return next((name for name in reversed(kept) if usable(name) and store.has(after[name])), None)

    def made_meanwhile(name: str) -> bool:
        """Whether another run made it while this one waited for the lock."""
        return usable(name) and store.has_under_lock(after[name])

    ready = distributed.from_main_process(latest)
    if ready is not None:
        logs = store.load(after[ready], state, settings.stages, built=0)
        info(f"  {', '.join(log.name for log in logs)}: reused from an earlier run")
    for name in names[len(logs) :]:
        if name not in kept:
            logs.append(_run_stage(settings, state, name, work))
            continue
        with store.lock(after[name]) if distributed.is_main_process() else nullcontext():
            if distributed.from_main_process(partial(made_meanwhile, name)):
                logs = store.load(after[name], state, settings.stages, built=len(logs))
            else:
                if settings.init_from is not None and name == kept[0]:
                    with as_mistake():
                        start_from(state, settings.init_from, settings.config, store, inputs)
                if under_force is not None and distributed.is_main_process() and after[name] not in under_force.begun:
                    remove(store.tuning(after[name]))
                    under_force = under_force.with_begun(after[name])
                logs.append(_run_stage(settings, state, name, store.tuning(after[name])))
                distributed.barrier()  # the best weights are read by all before they are moved
                if distributed.is_main_process():
                    store.save(after[name], state, logs, about(settings.config))
                    under_force = None if under_force is None else under_force.with_made(after[name])
    return logs


def _run_stage(settings: Settings, state: RunState, name: str, folder: Path) -> StageLog:
    on_gpu = not on_cpu(settings.launch.device) and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    state.stage = name
    state.seed = zlib.crc32(f"{settings.seed} {name}".encode()) % 2**31
    state.folder = folder
    started = time.perf_counter()
    state.spec = settings.stages[name].plan(state.spec)
    report = settings.stages[name].run(state)
    seconds = time.perf_counter() - started
    info(f"  {name}: done in {seconds:.1f} s")
    memory = torch.cuda.max_memory_allocated() if on_gpu else _largest()
    return StageLog(name, round(seconds, 3), memory, report.facts())


def _largest() -> int:
    """Bytes: the largest resident size of this process so far, whatever it did before."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage: kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _score(state: RunState, work: Path) -> tuple[record.Score, ...]:
    """The scores on every split but the training one; the answers are kept beside the work files. Of a task that
    writes text, the splits that it names."""
    if state.task.kind == "generation":
        return decode_and_score(state.model, state.tokenizer, state.task, state.data, work)
    scores: list[record.Score] = []
    kept = {}
    for found in answered(state, work):
        scores += found.scores
        for line in notices.of_scores(found.scores):
            warn(line)
        kept[found.split] = {"answers": found.answers, "references": found.references}
    jsonl.write(work / "answers.json", [kept])
    return tuple(scores)


def answered(state: RunState, work: Path) -> Iterator[Answers]:
    """The answers on every split but the training one."""
    for name, split in state.data.items():
        if name != "train":
            yield evaluate(
                state.model, state.tokenizer, state.task, split, state.recipe, folder=work, device=state.device
            )
