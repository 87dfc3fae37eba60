"""Comparison of two runs of one task: differences in settings, scores and costs, and their significance."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tabulate import tabulate

from dsee_bench import metrics
from dsee_bench.config.validate import build
from dsee_bench.metrics import Sums
from dsee_bench.record import Record, Score
from dsee_bench.report.results import flatten
from dsee_bench.report.rows import show
from dsee_bench.report.statistics import (
    CONFIDENCE,
    OverExamples,
    Scores,
    difference,
    factor,
    over_examples,
    over_texts,
)
from dsee_bench.runs import answers
from dsee_bench.tasks.generation import Generation
from dsee_bench.tasks.holdout import VALIDATION
from dsee_bench.tasks.scoring import sums_of

MARGIN = 1.0  # points
RULE = (
    "Over seeds: the interval is that of a bootstrap of the differences by seed within each task (10,000 draws), which "
    "is short for three seeds.\np: paired t-test of no difference. A large p is not equality.\n"
    "p within ±{margin}: two one-sided t-tests; below 0.05, A and B are equal within that many points."
)


def compare_text(a: Record, b: Record, results_dir: Path, records: Iterable[Record], margin: float = MARGIN) -> str:
    """Return a screen of text about runs A and B; ValueError if they are of two tasks or one has no scores.

    `records` are those of the folder, among which the other seeds and tasks of A and of B are looked for. `margin` is
    the difference, in points, up to which two methods count as equal.
    """
    _refuse(a, b)
    finished = [record for record in records if record.status == "finished"]
    scores = _shared_scores(a, b)
    names = ["", "A", "B", "B - A"]
    seeds = ["points", "mean A", "mean B", "B - A", f"{CONFIDENCE:.0%} interval", "seeds", "p", f"p within ±{margin:g}"]
    by_seed = _seeds([score for score, _ in scores], _siblings(a, finished), _siblings(b, finished), margin)
    by_task = _tasks(a, b, finished, margin)
    by_example = _examples([score for score, _ in scores], a, b, results_dir)
    interval = ["", "B - A", f"{CONFIDENCE:.0%} interval", "examples"]
    parts = [
        f"A  {a.run_id}\nB  {b.run_id}",
        *_section("settings that differ", ["", "A", "B"], _settings(a, b)),
        *_section("scores of these two runs", [*names, "examples"], [_scores(*pair) for pair in scores]),
        *_section("costs", names, _costs(a, b)),
        *_section("over seeds: all runs with the settings of A or of B", seeds, by_seed),
        *_section("over tasks and seeds: the same settings on every task, by its first score", seeds, by_task),
        *_section("over examples: paired bootstrap of these two runs", interval, by_example),
    ]
    if by_seed:
        parts.append(RULE.format(margin=f"{margin:g}"))
    if not by_example:
        parts.append("over examples: not known, since answers of the two runs are missing under work/, or damaged")
    return "\n\n".join(parts)


def _refuse(a: Record, b: Record) -> None:
    for record in (a, b):
        if record.status != "finished":
            raise ValueError(f"{record.run_id} is {record.status} and has no scores; `dsee-report show` says why")
    tasks = [record.config["task"]["name"] for record in (a, b)]
    if tasks[0] != tasks[1]:
        raise ValueError(f"{a.run_id} is a run of {tasks[0]}, {b.run_id} of {tasks[1]}; compare runs of one task")


def _shared_scores(a: Record, b: Record) -> list[tuple[Score, Score]]:
    """The scores of the same metric on the same split; ValueError if examples or implementation differ."""
    pairs = []
    for left in a.scores:
        for right in b.scores:
            if (left.name, left.split) == (right.name, right.split):
                checksums = [record.data.get(left.split, {}).get("sha256") for record in (a, b)]
                if checksums[0] != checksums[1] or left.signature != right.signature:
                    raise ValueError(
                        f"{left.name} on {left.split} cannot be compared: checksum {checksums[0]} and {checksums[1]}, "
                        f"signature {left.signature!r} and {right.signature!r}; run one of the two again"
                    )
                pairs.append((left, right))
    return pairs


def _settings(a: Record, b: Record) -> list[list[str]]:
    left, right = flatten(a.config), flatten(b.config)
    keys = sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))
    return [[key, *(show(settings[key]) if key in settings else "–" for settings in (left, right))] for key in keys]


def _scores(a: Score, b: Score) -> list[str]:
    return [f"{a.name} {a.split}", *_pair(a.value, b.value, "{:.4f}"), str(a.n)]


def _costs(a: Record, b: Record) -> list[list[str]]:
    second = {cost.name: cost.value for cost in b.costs}
    return [
        [cost.name, *_pair(cost.value, second.get(cost.name), "{:.4f}" if cost.unit == "share" else "{:,.0f}")]
        for cost in a.costs
    ]


def _pair(a: float | None, b: float | None, pattern: str) -> list[str]:
    """A, B and B - A as text, a dash for None."""
    values = (a, b, None if a is None or b is None else b - a)
    return ["–" if value is None else pattern.format(value) for value in values]


def _siblings(record: Record, records: list[Record], *, tasks: bool = False) -> list[Record]:
    """The records that differ from this one by nothing but the seed, and the task where `tasks` are wanted."""
    varied = {"seed": None} | ({"task": None} if tasks else {})
    settings = flatten(record.config | varied)
    return [other for other in records if flatten(other.config | varied) == settings]


def _seeds(scores: Sequence[Score], a: list[Record], b: list[Record], margin: float) -> list[list[str]]:
    """A line for each score with common seeds."""
    lines = []
    for score in scores:
        left, right = ({"": _by_seed(records, score)} for records in (a, b))
        lines += _difference(f"{score.name} {score.split}", left, right, margin)
    return lines


def _tasks(a: Record, b: Record, records: list[Record], margin: float) -> list[list[str]]:
    """A line for each task that methods A and B both ran on, and one for their mean; none for one task."""
    of_a, of_b = (_by_task(_siblings(record, records, tasks=True)) for record in (a, b))
    left, right, lines = {}, {}, []
    for task in sorted(of_a.keys() & of_b.keys()):
        score = next(score for score in of_a[task][0].scores if score.split != VALIDATION)
        pair = of_a[task][0], of_b[task][0]
        if len({record.data.get(score.split, {}).get("sha256") for record in pair}) > 1:
            continue  # other rows
        left[task], right[task] = (_by_seed(side[task], score) for side in (of_a, of_b))
        name = f"{task} {score.name} {score.split}"
        lines += _difference(name, {task: left[task]}, {task: right[task]}, margin)
    pooled = _difference(f"mean over {len(left)} tasks", left, right, margin)
    return [*lines, *pooled] if len(lines) > 1 else []


def _by_task(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records with a reported score by the name of their task."""
    tasks: dict[str, list[Record]] = {}
    for record in records:
        if any(score.split != VALIDATION for score in record.scores):
            tasks.setdefault(record.config["task"]["name"], []).append(record)
    return tasks


def _by_seed(records: Iterable[Record], score: Score) -> dict[int, float]:
    """The points of a score like `score` by seed."""
    return {
        record.config["seed"]: other.value * factor(other.unit)
        for record in records
        for other in record.scores
        if (other.name, other.split, other.signature) == (score.name, score.split, score.signature)
        and other.value is not None
    }


def _difference(name: str, a: Scores, b: Scores, margin: float) -> list[list[str]]:
    """The line of B against A over the seeds that both have; none for fewer than two seeds."""
    found = difference(a, b)
    interval = None if found is None else found.interval()
    if found is None or interval is None:
        return []
    means = [fmean(fmean(side[task][seed] for seed in side[task] if seed in other[task]) for task in found.by_task)
             for side, other in ((a, b), (b, a))]  # fmt: skip
    p_values = ["–" if p is None else f"{p:.3f}" for p in (found.p_value, found.p_equivalent(margin))]
    seeds = sorted({len(values) for values in found.by_task.values()})
    return [[
        name, *(f"{mean:.2f}" for mean in means), f"{found.mean:+.2f}",
        f"{interval[0]:+.2f} to {interval[1]:+.2f}", "–".join(map(str, seeds)), *p_values,
    ]]  # fmt: skip


def _examples(scores: list[Score], a: Record, b: Record, results_dir: Path) -> list[list[str]]:
    """A line for each score for which both runs have answers; for texts, only the scores that are sums over them."""
    lines = []
    for split in dict.fromkeys(score.split for score in scores):
        names = [score.name for score in scores if score.split == split]
        left, right = (answers.of_split(answers.path_of(record.run_id, results_dir), split) for record in (a, b))
        if left is None or right is None:
            continue
        if a.config["task"].get("kind") == "generation":
            sums = [_sums(a.config["task"], texts, names) for texts in (left, right)]
            results = {name: over_texts(sums[0][name], sums[1][name]) for name in sums[0]}
        else:
            results = {
                name: over_examples(name, left[of], right[of], left["references"])
                for name, of in ((name, metrics.find(name).takes) for name in names)
                if of in left and of in right
            }
        lines += [_interval(f"{name} {split}", result) for name, result in results.items()]
    return lines


def _sums(task: dict[str, Any], texts: dict[str, list[Any]], names: list[str]) -> dict[str, Sums]:
    """The sums that make up the scores of the texts a run wrote for a split."""
    examples = [
        Generation("", tuple(references), category)
        for references, category in zip(texts["references"], texts["categories"], strict=True)
    ]
    return sums_of(build(task, "task"), examples, texts["answers"], names)


def _interval(name: str, result: OverExamples) -> list[str]:
    interval = "–" if result.low is None else f"{result.low:+.4f} to {result.high:+.4f}"
    return [name, f"{result.difference:+.4f}", interval, str(result.examples)]


def _section(title: str, headings: list[str], lines: Sequence[list[str]]) -> list[str]:
    table = tabulate(lines, headers=headings, tablefmt="simple", disable_numparse=True)
    return [f"{title}\n{table}"] if lines else []
