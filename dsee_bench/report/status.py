"""What was run and how it went: of everything in a results folder, or of one sweep, with what is missing of it."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from dsee_bench.config import parse
from dsee_bench.report.fields import check
from dsee_bench.runs.state import NAMES, State, every_state, state_of
from dsee_bench.runs.sweep import Cell, expand


def status_text(results_dir: Path) -> str:
    """A screen of text. A file that is no record is listed, not fatal: this is where one looks when things go wrong."""
    found = list(map(_usable, every_state(results_dir)))
    parts = [f"{len(found)} runs in {results_dir}: {_counts(found)}"]
    seeds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for state in found:
        if state.record is not None and state.name == "finished":
            config = state.record.config
            seeds[tuple(config[group]["name"] for group in ("task", "backbone", "method"))].append(config["seed"])
    if seeds:
        rows = [[*names, len(each), _compact(each)] for names, each in sorted(seeds.items())]
        parts.append(tabulate(rows, headers=["task", "backbone", "method", "finished", "seeds"], tablefmt="simple"))
    commands = {state.run_id: state.record.made_by.get("command", "") for state in found if state.record is not None}
    return "\n\n".join([*parts, *_unfinished(found, commands)])


def _usable(state: State) -> State:
    """The state, or that nobody can read the record where what is said of it here is not there."""
    try:
        if state.record is not None:
            check(state.record)
        return state
    except ValueError as error:
        return State(state.run_id, "unreadable", str(error))


def sweep_text(words: Sequence[str], results_dir: Path) -> str:
    """The runs of `dsee-bench --multirun <words>`: how many are done, and what is with the others."""
    cells = expand(words)
    found = [state_of(cell.run_id, results_dir) for cell in cells]
    parts = [f"{len(found)} runs of the sweep, in {results_dir}: {_counts(found)}"]
    rows, keys = _rows(cells, found)
    parts.append(tabulate(rows, headers=[*keys, *_there(found)], tablefmt="simple", disable_numparse=True))
    commands = {cell.run_id: shlex.join(["dsee-bench", *cell.overrides]) for cell in cells}
    parts += _unfinished(found, commands)
    if any(state.name != "finished" for state in found):
        again = shlex.join(["dsee-bench", "--multirun", *words])
        parts.append(f"To run what is not done:\n  {again}")
    return "\n\n".join(parts)


def _rows(cells: Sequence[Cell], found: Sequence[State]) -> tuple[list[list[str]], list[str]]:
    """A row for each setting that the sweep varies, seeds apart: under each state the seeds that are in it. With the
    names of what varies."""
    settings = [{parse(word).key_or_group: word.partition("=")[2] for word in cell.overrides} for cell in cells]
    varied = [key for key in settings[0] if key != "seed" and len({setting[key] for setting in settings}) > 1]
    table: dict[tuple[str, ...], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for setting, state in zip(settings, found, strict=True):
        table[tuple(setting[key] for key in varied)][state.name].append(setting.get("seed", "0"))
    rows = [[*names, *(_compact(states[name]) for name in _there(found))] for names, states in table.items()]
    return rows, varied


def _unfinished(found: Iterable[State], commands: Mapping[str, str]) -> list[str]:
    """A paragraph for each state that needs a look: the runs in it, why, and the command of each."""
    parts = []
    for name in ("running", "interrupted", "failed", "unreadable"):
        lines = []
        for state in found:
            if state.name == name:
                lines.append(f"  {state.run_id}" + (f": {state.why}" if state.why else ""))
                if name in ("interrupted", "failed") and commands.get(state.run_id):
                    lines.append(f"      {commands[state.run_id]}")
        if lines:
            parts.append("\n".join([f"{name}:", *lines]))
    return parts


def _there(found: Iterable[State]) -> list[str]:
    names = {state.name for state in found}
    return [name for name in NAMES if name in names]


def _counts(found: Sequence[State]) -> str:
    counts = Counter(state.name for state in found)
    return ", ".join(f"{counts[name]} {name}" for name in NAMES if counts[name]) or "none"


def _compact(seeds: Iterable[int | str]) -> str:
    """`0 1 2 3` as `0-3`."""
    numbers = sorted({int(seed) for seed in seeds})
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return " ".join(map(str, numbers))
