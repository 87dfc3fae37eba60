"""A search of settings as Markdown, JSON and a figure."""

from collections.abc import Iterator, Mapping

from tabulate import tabulate

from dsee_bench.report.search import SPLIT, Method, Search

RULE = (
    f"Scores are on the {SPLIT} rows at the chosen checkpoint (shares times 100); a trial's mean is over tasks. "
    "The best mean is chosen, the first of equal ones."
)
EXPECTED = (
    "The mean that the best of n trials is expected to have, had n been drawn from these at random (Dodge et al. 2019, "
    '"Show Your Work", equation 5). Methods are compared at the same n.'
)


def markdown(found: Search) -> str:
    """Return the trials, the choices, the expected best mean by number of trials, and what is missing."""
    curves = {method.name: method.expected for method in found.methods if method.expected}
    parts = [
        f"# Search: {', '.join(found.experiments)}",
        _trials(found),
        "\n".join([f"- {RULE}", *_rows(found)]),
        "## Chosen",
        "\n".join(f"- {_choice(method)}" for method in found.methods),
    ]
    if curves:
        parts += ["## Expected best mean by number of trials", _curves(curves), EXPECTED]
    if found.missing:
        parts.append("\n".join(_missing(found)))
    return "\n\n".join(parts)


def _trials(found: Search) -> str:
    rows = [
        [
            method.name,
            trial.label,
            *(_number(trial.by_task.get(task)) for task in found.tasks),
            _number(trial.mean),
            "chosen" if trial is method.chosen else "",
        ]
        for method in found.methods
        for trial in method.trials
    ]
    headings = ["Method", "Trial", *(_heading(found, task) for task in found.tasks), "Mean", ""]
    return _table(rows, headings, ("left", "left", *["right"] * (len(found.tasks) + 1), "left"))


def _heading(found: Search, task: str) -> str:
    pair = found.score_of(task)
    return task if pair is None else f"{task} {pair[0].name}"


def _rows(found: Search) -> Iterator[str]:
    """A line on the validation rows of each task."""
    for task in found.tasks:
        if (pair := found.score_of(task)) is not None:
            score, record = pair
            checksum = record.data.get(SPLIT, {}).get("sha256") or "unknown"
            rows = f"{score.n:,} rows held out of train (sha256 {checksum:.12})"
            yield f"- {task}: {score.name} on {rows}; {score.signature}"


def _choice(method: Method) -> str:
    if method.chosen is not None:
        edge = f"; {' and '.join(method.at_the_edge)} is at the edge of what was tried" if method.at_the_edge else ""
        return f"{method.name}: {method.chosen.label} (mean {_number(method.chosen.mean)}){edge}"
    if method.finished:
        return f"{method.name}: no choice, since no trial has a score on every task"
    done = sum(trial.finished for trial in method.trials)
    return f"{method.name}: no choice yet, {done} of {len(method.trials)} trials are finished"


def _curves(curves: Mapping[str, list[float]]) -> str:
    longest = max(map(len, curves.values()))
    rows = [[name, *map(_number, curve)] for name, curve in curves.items()]
    return _table(rows, ["Method", *map(str, range(1, longest + 1))], ("left", *["right"] * longest))


def _missing(found: Search) -> Iterator[str]:
    yield f"## Not finished: {len(found.missing)} of {len(found.runs)} runs\n"
    for run in found.missing:
        yield f"- {run.state.run_id}: {run.state.name}" + (f", {run.state.why}" if run.state.why else "")
        yield f"  `{run.command}`"
    yield "\nTo run what is not finished:\n"
    yield from (f"    {command}" for command in found.commands)


def _table(rows: list[list[str]], headings: list[str], sides: tuple[str, ...]) -> str:
    return tabulate(rows, headers=headings, tablefmt="pipe", disable_numparse=True, colalign=sides)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def as_json(found: Search) -> Mapping[str, object]:
    """Return the search as plain values; scores and means are points, as in the text."""
    tasks = {}
    for task in found.tasks:
        if (pair := found.score_of(task)) is not None:
            score, record = pair
            fields = {key: getattr(score, key) for key in ("name", "unit", "better", "n", "signature")}
            tasks[task] = fields | {"sha256": record.data.get(SPLIT, {}).get("sha256")}
    return {
        "experiments": list(found.experiments),
        "split": SPLIT,
        "tasks": tasks,
        "methods": {method.name: _method_json(method) for method in found.methods},
        "missing": [
            {"run_id": run.state.run_id, "state": run.state.name, "why": run.state.why, "command": run.command}
            for run in found.missing
        ],
    }


def _method_json(method: Method) -> Mapping[str, object]:
    trials = [
        {
            "settings": dict(trial.settings),
            "scores": trial.by_task,
            "mean": trial.mean,
            "runs": [run.state.run_id for run in trial.runs],
        }
        for trial in method.trials
    ]
    chosen = None if method.chosen is None else dict(method.chosen.settings)
    return {"trials": trials, "chosen": chosen, "at_the_edge": method.at_the_edge, "expected_best": method.expected}
