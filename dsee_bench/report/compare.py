"""Two runs of one task side by side: what differs in settings, scores and costs, and whether it is more than chance."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from dsee_bench.config.validate import build
from dsee_bench.metrics import Sums
from dsee_bench.record import Record, Score
from dsee_bench.report.find import records
from dsee_bench.report.frame import flatten
from dsee_bench.report.statistics import CONFIDENCE, OverExamples, over_examples, over_seeds, over_texts
from dsee_bench.report.variants import show
from dsee_bench.system import jsonl
from dsee_bench.tasks.generation import Generation
from dsee_bench.tasks.judge import sums_of


def compare_text(a: Record, b: Record, results_dir: Path, among: Sequence[Record] | None = None) -> str:
    """A screen of text about runs A and B; ValueError if they are of two tasks or one has no scores. `among` are the
    records that may be of the same settings; None: all in the folder."""
    _refuse(a, b)
    among = records(results_dir).records if among is None else among
    runs = [record for record in among if record.status == "finished"]
    scores = _shared(a, b)
    seeds = [line for one, _ in scores for line in _seeds(one, _siblings(a, runs), _siblings(b, runs))]
    examples = _examples([one for one, _ in scores], a, b, results_dir)
    parts = [f"A  {a.run_id}\nB  {b.run_id}"]
    parts += _section("settings that differ", ["", "A", "B"], _settings(a, b))
    parts += _section(
        "scores of these two runs", ["", "A", "B", "B - A", "examples"], [_scores(*pair) for pair in scores]
    )
    parts += _section("costs", ["", "A", "B", "B - A"], _costs(a, b))
    heads = ["", "mean A", "mean B", "B - A", "seeds", "p, paired t-test"]
    parts += _section("over seeds: all runs with the settings of A or of B", heads, seeds)
    heads = ["", "B - A", f"{CONFIDENCE:.0%} interval", "examples"]
    parts += _section("over examples: paired bootstrap of these two runs", heads, examples)
    if not examples:
        parts.append("over examples: not told, since the answers of both runs are not kept under work/, or damaged")
    return "\n\n".join(parts)


def answers(record: Record, results_dir: Path, split: str) -> dict[str, list[Any]] | None:
    """What a run answered on a split and the references, from its work folder; None where they were not kept, or are
    damaged. Earlier releases wrote no checksum."""
    path = results_dir / "work" / record.run_id / "answers.json"
    if not path.is_file():
        return None
    content = path.read_bytes()
    kept = jsonl.parse(content) if jsonl.CHECKSUM.encode() in content else json.loads(content)
    return None if kept is None else kept.get(split)


def _refuse(a: Record, b: Record) -> None:
    for record in (a, b):
        if record.status != "finished":
            raise ValueError(f"{record.run_id} is {record.status} and has no scores; `dsee-report show` says why")
    tasks = [record.config["task"]["name"] for record in (a, b)]
    if tasks[0] != tasks[1]:
        raise ValueError(f"{a.run_id} is a run of {tasks[0]}, {b.run_id} of {tasks[1]}; compare runs of one task")


def _shared(a: Record, b: Record) -> list[tuple[Score, Score]]:
    """The scores both have, of the same metric on the same rows; ValueError if one was made in another way."""
    pairs = []
    for one in a.scores:
        for other in b.scores:
            if (one.name, one.split) == (other.name, other.split):
                checks = [record.data.get(one.split, {}).get("sha256") for record in (a, b)]
                if checks[0] != checks[1] or one.signature != other.signature:
                    raise ValueError(
                        f"{one.name} on {one.split} cannot be compared: checksum {checks[0]} and {checks[1]}, "
                        f"signature {one.signature!r} and {other.signature!r}; run one of the two again"
                    )
                pairs.append((one, other))
    return pairs


def _settings(a: Record, b: Record) -> list[list[str]]:
    first, second = flatten(a.config), flatten(b.config)
    keys = sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))
    return [[key, *(show(settings[key]) if key in settings else "–" for settings in (first, second))] for key in keys]


def _scores(one: Score, other: Score) -> list[str]:
    return [f"{one.name} {one.split}", *_pair(one.value, other.value, "{:.4f}"), str(one.n)]


def _costs(a: Record, b: Record) -> list[list[str]]:
    second = {cost.name: cost.value for cost in b.costs}
    return [
        [cost.name, *_pair(cost.value, second.get(cost.name), "{:.4f}" if cost.unit == "share" else "{:,.0f}")]
        for cost in a.costs
    ]


def _pair(a: float | None, b: float | None, pattern: str) -> list[str]:
    """A, B and B - A as text, a dash for what is None."""
    values = (a, b, None if a is None or b is None else b - a)
    return ["–" if value is None else pattern.format(value) for value in values]


def _siblings(record: Record, runs: list[Record]) -> list[Record]:
    """The runs that differ from this one by nothing but the seed."""
    settings = record.config | {"seed": None}
    return [run for run in runs if run.config | {"seed": None} == settings]


def _seeds(score: Score, a: list[Record], b: list[Record]) -> list[list[str]]:
    by_seed = []
    for runs in (a, b):
        found = {run.config["seed"]: item.value for run in runs for item in run.scores
                 if (item.name, item.split) == (score.name, score.split)}  # fmt: skip
        by_seed.append({seed: value for seed, value in found.items() if value is not None})
    told = over_seeds(*by_seed)
    if told is None:
        return []
    p_value = "–" if told.p_value is None else f"{told.p_value:.3f}"
    return [[f"{score.name} {score.split}", *_pair(told.a, told.b, "{:.4f}"), str(told.seeds), p_value]]


def _examples(scores: list[Score], a: Record, b: Record, results_dir: Path) -> list[list[str]]:
    """A line for each score whose answers both runs kept; of texts, for those that are sums over them."""
    lines = []
    for split in dict.fromkeys(score.split for score in scores):
        names = [score.name for score in scores if score.split == split]
        first, second = (answers(record, results_dir, split) for record in (a, b))
        if first is None or second is None:
            continue
        if a.config["task"].get("kind") == "generation":
            left, right = (_sums(a.config["task"], kept, names) for kept in (first, second))
            told = {name: over_texts(left[name], right[name]) for name in left}
        else:
            said, truth = (first["answers"], second["answers"]), first["references"]
            told = {name: over_examples(name, *said, truth) for name in names}
        lines += [_interval(f"{name} {split}", found) for name, found in told.items()]
    return lines


def _sums(task: dict[str, Any], kept: dict[str, list[Any]], names: list[str]) -> dict[str, Sums]:
    """Of what a run wrote for a split, the sums of its scores."""
    examples = [
        Generation("", tuple(references), category)
        for references, category in zip(kept["references"], kept["categories"], strict=True)
    ]
    return sums_of(build(task, "task").protocol, examples, kept["answers"], names)


def _interval(name: str, told: OverExamples) -> list[str]:
    interval = "–" if told.low is None else f"{told.low:+.4f} to {told.high:+.4f}"
    return [name, f"{told.difference:+.4f}", interval, str(told.examples)]


def _section(title: str, heads: list[str], lines: list[list[str]]) -> list[str]:
    table = tabulate(lines, headers=heads, tablefmt="simple", disable_numparse=True)
    return [f"{title}\n{table}"] if lines else []
