"""One run, from checked settings to a record: load, run the stages, score, count."""

import resource
import shlex
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from dsee_bench.cache.listing import about
from dsee_bench.cache.store import Cache, keys
from dsee_bench.cache.warm_start import start_from
from dsee_bench.deploy.measure import costs
from dsee_bench.models.heads import for_task
from dsee_bench.models.load import Loaded
from dsee_bench.monitoring.console import info, warn
from dsee_bench.monitoring.curve import Curve, points
from dsee_bench.monitoring.tracking import Tracker
from dsee_bench.plan import TOKENS, Settings
from dsee_bench.record import Record, Retained, StageLog
from dsee_bench.runs import notices
from dsee_bench.runs.asked import asked, to_retain
from dsee_bench.runs.data_check import note, other_rows
from dsee_bench.runs.exporting import export_as_asked
from dsee_bench.runs.measuring import measured_as_asked
from dsee_bench.runs.retention import Retention, Watch
from dsee_bench.runs.scoring import score
from dsee_bench.runs.state import set_record_aside
from dsee_bench.stages.stage import RunState
from dsee_bench.stages.tune import Tune
from dsee_bench.system import distributed
from dsee_bench.system.errors import UserError, as_mistake
from dsee_bench.system.files import remove
from dsee_bench.tasks.example import Split
from dsee_bench.tasks.generation import completions
from dsee_bench.training.blocks import in_blocks
from dsee_bench.training.decode import check_splits
from dsee_bench.training.evaluate import on_cpu, use_bf16
from dsee_bench.training.job import Setup


def execute(
    settings: Settings,
    tracker: Tracker,
    overrides: Sequence[str] = (),
    *,
    repeat: bool,
    data: dict[str, Split[Any]] | None = None,
) -> Record:
    """Return the record of the run, without `made_by`; with `repeat`, nothing of the earlier run is reused.

    `overrides` are the command's, for the model card of an export; `data` are the rows, where they were loaded before.
    """
    state, inputs = prepare(settings, settings.work, data)
    cut = notices.cut_rows(state, tuned=any(isinstance(stage, Tune) for stage in settings.stages.values()))
    of_precision = notices.of_precision(settings.recipe.precision, on_cpu=on_cpu(settings.launch.device))
    for line in (*notices.of_data(state, cut), *of_precision):
        warn(line)
    if repeat:
        _start_over(settings, inputs)
    state.setup = replace(state.setup, curve=_curve(settings, state, tracker))
    watch = Retention(settings, state) if settings.others else None
    logs = run_stages(settings, state, settings.states, inputs, watch)
    counted = costs(
        state.model, state.adapters, state.spec, settings.backbone.spec(settings.labels), state.masks, TOKENS
    )
    scores = score(state, settings.work)
    timed, engines = measured_as_asked(settings, state, asked(settings.launch))
    finished = Record(
        run_id=settings.run_id,
        status="finished",
        config=settings.config,
        made_by={},
        checkpoint=_checkpoint(settings, logs),
        scores=scores,
        costs=(*counted, *timed),
        retention=tuple(watch.scores) if watch else (),
        engines=engines,
        stages=tuple(logs),
        data={
            name: {"n": len(split), "sha256": split.sha256} | ({"cut": cut[name]} if name in cut else {})
            for name, split in state.data.items()
        },
    )
    export_as_asked(settings, state, finished, shlex.join(["dsee-bench", *overrides]))
    return finished


def rebuild(settings: Settings, earlier: Record) -> Record:
    """Build the model of a finished run again, export and measure it as asked; return the record with what was new."""
    retained: list[Retained] | None = [] if to_retain(settings, earlier) else None
    state = rebuilt(settings, earlier, retained)
    timed, engines = measured_as_asked(settings, state, asked(settings.launch, earlier))
    record = earlier.with_costs(timed).with_engines(engines).with_retention(retained or ())
    export_as_asked(settings, state, record, earlier.made_by["command"])
    return record


def rebuilt(settings: Settings, earlier: Record, retained: list[Retained] | None = None) -> RunState:
    """Return the state after the last stage of a finished run.

    The stages come from the cached states, or are repeated where these are gone. UserError where the rows differ.
    Scores on other tasks are added to `retained`.
    """
    state, inputs = prepare(settings, settings.work)
    names = other_rows(earlier, state.data)
    if names:
        raise UserError(
            f"the rows of {names} are not those of the record; give their data_dir, or force=true to run on these"
        )
    watch = None if retained is None else Retention(settings, state)
    logs = run_stages(settings, state, settings.states, inputs, watch)
    if retained is not None and watch is not None:
        retained += watch.scores
    again = [log.name for log in logs if isinstance(settings.stages[log.name], Tune) and "reused" not in log.facts]
    if again:
        info(f"  {', '.join(again)}: tuned again, as the cached state is gone; the record has the scores of before")
    return state


def _start_over(settings: Settings, inputs: Mapping[str, Any]) -> None:
    """Drop the cached states of the run and set its record aside, so that it goes on here if it is interrupted."""
    remove(settings.work / "curve.jsonl")
    Cache(settings.states, settings.stages, {}).drop(keys(settings.config, inputs))
    set_record_aside(settings.record, settings.work)


def _checkpoint(settings: Settings, logs: list[StageLog]) -> str | None:
    """Return which weights the scores are of; None for an untouched model.

    A tuning that was to end with the best weights ends with the last where no evaluation chose any (`why_last`).
    """
    if not settings.stages:
        return None
    best_steps = [log.facts["best_step"] for log in logs if isinstance(settings.stages[log.name], Tune)]
    select_on = settings.recipe.select_on
    is_best = select_on != "last" and (not best_steps or best_steps[-1] is not None)
    return f"best {select_on}" if is_best else "last"


def _curve(settings: Settings, state: RunState, tracker: Tracker) -> Curve:
    """Return the run's curve, whose points the tracker gets too."""
    rows = len(state.data["train"])
    epochs = {name: stage.epochs if isinstance(stage, Tune) else 0 for name, stage in settings.stages.items()}
    steps = [settings.recipe.steps(rows, count) for count in epochs.values()]
    before = dict(zip(epochs, accumulate(steps, initial=0), strict=False))
    file = settings.work / "curve.jsonl"
    tracker.place(before, points(file))
    return Curve(file, tracker.add)


def prepare(
    settings: Settings, work: Path, data: dict[str, Split[Any]] | None = None
) -> tuple[RunState, dict[str, Any]]:
    """Return the state before the first stage, and what it was made from: checksums of weights and data."""
    with as_mistake():
        data = settings.load_data() if data is None else data
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
    if settings.task.kind == "language_modeling":
        separator = settings.task.separator  # type: ignore[attr-defined]  # a task of running text
        with as_mistake():
            data = {
                name: in_blocks(split, loaded.tokenizer, settings.recipe.max_length, separator)
                for name, split in data.items()
            }
    if settings.launch.device == "auto" and torch.accelerator.is_available():
        loaded.model.to(torch.accelerator.current_accelerator())
    launch = settings.launch
    state = RunState(
        model=loaded.model,
        spec=settings.backbone.spec(settings.labels),
        data=data,
        setup=Setup(
            loaded.tokenizer,
            settings.task,
            settings.recipe,
            launch.device,
            launch.save_every,
            places=data["train"].places,
            truncate=getattr(settings.task, "truncate", None),
        ),
        stage="",
        seed=settings.seed,
        folder=work,
        fresh=lambda: _load(settings).model,
    )
    return state, {"weights": loaded.weights, "data": inputs, "made_with": _made_with(settings.launch.device)}


def _made_with(device: str) -> dict[str, Any]:
    """Return the remaining inputs of a cached state: package versions and device.

    The thread count is left out: it changes only the last digits.
    """
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
        loaded = settings.backbone.load(settings.labels, regression=settings.labels == 1)
    for_task(loaded.model, settings.task.kind)
    return loaded


def run_stages(
    settings: Settings, state: RunState, states: Path, inputs: Mapping[str, Any], watch: Watch | None = None
) -> list[StageLog]:
    """Run every stage in turn, from the last cached state on; the states after tunings are cached for other runs.

    `watch` sees the model before the first stage and after each; then no cached state is skipped.
    """
    cache = Cache(states, settings.stages, about(settings.config))
    after = dict(zip(settings.stages, keys(settings.config, inputs), strict=True))
    tunings = [name for name, stage in settings.stages.items() if isinstance(stage, Tune)]
    logs = [] if watch else cache.restore_latest([after[name] for name in tunings], state)
    if logs:
        info(f"  {', '.join(log.name for log in logs)}: reused from an earlier run")

    def make(name: str, folder: Path) -> StageLog:
        if settings.init_from is not None and name == tunings[0]:
            with as_mistake():
                start_from(state, settings.init_from, settings.config, states, inputs)
        return run_stage(settings, state, name, folder)

    watch = watch or (lambda stage: None)
    watch(None)
    for name in list(settings.stages)[len(logs) :]:
        if name in tunings:
            logs = cache.get_or_make(after[name], state, logs, partial(make, name))
        else:
            logs.append(run_stage(settings, state, name, state.folder))
        watch(name)
    return logs


def run_stage(settings: Settings, state: RunState, name: str, folder: Path) -> StageLog:
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
    memory = torch.cuda.max_memory_allocated() if on_gpu else _largest_size()
    return StageLog(name, round(seconds, 3), memory, report.facts())


def _largest_size() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage: kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
