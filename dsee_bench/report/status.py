"""The state of the runs in a results folder, or of a sweep, with the commands for the unfinished ones."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from dsee_bench.config import parse
from dsee_bench.report.record_cache import RecordCache
from dsee_bench.report.records import GROUPS
from dsee_bench.runs.state import NAMES, State, every_state, state_of

if TYPE_CHECKING:
    from dsee_bench.runs.sweep import Cell

NEED_A_LOOK = ("running", "interrupted", "failed", "unreadable")


def status_text(results_dir: Path) -> str:
    """Return a screen of text on every run in the folder; a file that is no record is listed as unreadable."""
    with RecordCache(results_dir, "summary") as cache:
        states = every_state(results_dir, cache.read)
    parts = [f"{len(states)} runs in {results_dir}: {_counts(states)}"]
    seeds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for state in states:
        if state.record is not None and state.name == "finished":
            config = state.record.config
            seeds[tuple(config[group]["name"] for group in GROUPS)].append(config["seed"])
    if seeds:
        rows = [[*names, len(numbers), _compact(numbers)] for names, numbers in sorted(seeds.items())]
        parts.append(tabulate(rows, headers=[*GROUPS, "finished", "seeds"], tablefmt="simple"))
    commands = {state.run_id: state.record.made_by.get("command", "") for state in states if state.record is not None}
    return "\n\n".join([*parts, *_unfinished(states, commands)])


def sweep_text(words: Sequence[str], results_dir: Path) -> str:
    """Return a screen of text on the runs of `dsee-bench --multirun <words>`."""
    from dsee_bench.runs.sweep import expand

    cells = expand(words)
    states = [state_of(cell.run_id, results_dir) for cell in cells]
    parts = [f"{len(states)} runs of the sweep, in {results_dir}: {_counts(states)}", _grid(cells, states)]
    commands = {cell.run_id: shlex.join(["dsee-bench", *cell.overrides]) for cell in cells}
    parts += _unfinished(states, commands)
    unscored = _unscored(cells, states)
    if unscored:
        parts.append("\n  ".join(["finished, and not yet scored on all of evaluate_on:", *unscored]))
    if unscored or any(state.name != "finished" for state in states):
        again = shlex.join(["dsee-bench", "--multirun", *words])
        parts.append(f"To run what is not finished:\n  {again}")
    return "\n\n".join(parts)


def _unscored(cells: "Sequence[Cell]", states: Sequence[State]) -> list[str]:
    """The finished runs whose records lack a task that the sweep asks them to be scored on."""
    from dsee_bench.plan.retention import read_others

    found = []
    for cell, state in zip(cells, states, strict=True):
        launch = cell.launch
        others = read_others(launch.evaluate_on, launch.evaluate_data_dir or launch.data_dir)
        if state.name == "finished" and state.record is not None:
            lacks = others.keys() - {score.task for score in state.record.retention}
            found += [f"{cell.run_id}: {', '.join(sorted(lacks))}"] if lacks else []
    return found


def _grid(cells: "Sequence[Cell]", states: Sequence[State]) -> str:
    """A row for each setting that the sweep varies besides the seed: the seeds that are in each state."""
    settings = [{parse(word).key_or_group: word.partition("=")[2] for word in cell.overrides} for cell in cells]
    varied = [key for key in settings[0] if key != "seed" and len({setting[key] for setting in settings}) > 1]
    present = [name for name in NAMES if any(state.name == name for state in states)]
    seeds: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for setting, state in zip(settings, states, strict=True):
        seeds[tuple(setting[key] for key in varied)][state.name].append(setting.get("seed", "0"))
    rows = [[*values, *(_compact(by_state[name]) for name in present)] for values, by_state in seeds.items()]
    return tabulate(rows, headers=[*varied, *present], tablefmt="simple", disable_numparse=True)


def _unfinished(states: Iterable[State], commands: Mapping[str, str]) -> list[str]:
    """A paragraph for each state that needs a look: the runs in it, the reason, and the command of each."""
    lines: dict[str, list[str]] = {name: [] for name in NEED_A_LOOK}
    for state in states:
        if state.name in lines:
            lines[state.name].append(f"  {state.run_id}" + (f": {state.why}" if state.why else ""))
            if state.name in ("interrupted", "failed") and commands.get(state.run_id):
                lines[state.name].append(f"      {commands[state.run_id]}")
    return ["\n".join([f"{name}:", *texts]) for name, texts in lines.items() if texts]


def _counts(states: Sequence[State]) -> str:
    counts = Counter(state.name for state in states)
    return ", ".join(f"{counts[name]} {name}" for name in NAMES if counts[name]) or "none"


def _compact(seeds: Iterable[int | str]) -> str:
    """`0 1 2 3` as `0-3`."""
    numbers = sorted({int(seed) for seed in seeds})
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return " ".join(map(str, numbers))
