"""One record as a screen of text, or the zeros of its model."""

from typing import Any

from tabulate import tabulate

from dsee_bench.record import Record
from dsee_bench.report.figures.sparsity import grid
from dsee_bench.report.records import sparsity_by_site


def record_text(record: Record) -> str:
    """Return the scores, costs, stages, data, settings and provenance of a run."""
    checkpoint = f", scores of the {record.checkpoint} weights" if record.checkpoint else ""
    scores = [[s.name, s.split, number(s.value), s.unit, s.n, s.reason or s.signature] for s in record.scores]
    stages = [[s.name, f"{s.seconds:.1f} s", _memory(s.peak_memory), _facts(s.facts)] for s in record.stages]
    parts = [f"{record.run_id}: {record.status}{checkpoint}"]
    parts += _section("scores", scores)
    kept = [[s.task, s.split, s.name, f"after {s.after}" if s.after else "untouched", number(s.value), s.n]
            for s in record.retention]  # fmt: skip
    parts += _section("on other tasks", kept)
    parts += _section("costs", [[c.name, number(c.value), c.unit, c.counts] for c in record.costs])
    parts += _section("stages", stages)
    parts += _section("data", [[name, split.get("n"), split.get("sha256")] for name, split in record.data.items()])
    parts += _section("settings", _lines(record.config))
    parts += _section("made by", _lines(record.made_by))
    return "\n\n".join(parts + ([record.error.rstrip()] if record.error else []))


def sparsity_text(record: Record) -> str:
    """Return the zeros of a pruned model in per cent, by layer and kind of weight; ValueError if none was pruned."""
    shares = sparsity_by_site(record)
    if shares is None:
        names = ", ".join(stage.name for stage in record.stages) or "none"
        raise ValueError(f"{record.run_id} has no stage that zeroed single weights (stages: {names})")
    kinds, lines = grid(shares)
    rows = [[layer, *("–" if s is None else f"{100 * s:.1f}" for s in line)] for layer, line in lines.items()]
    table = tabulate(rows, headers=["layer", *kinds], tablefmt="simple", disable_numparse=True, stralign="right")
    return f"{record.run_id}: per cent of each weight that is zero\n\n{table}"


def number(value: float | None) -> str:
    """Return a count in full, everything else with six significant digits, a dash for None."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.6g}"


def short_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a stage that fit on a line; curves and maps of weights are left to the figures."""
    return {key: value for key, value in facts.items() if not isinstance(value, list | dict)}


def _section(title: str, rows: list[list[Any]]) -> list[str]:
    return [f"{title}\n{tabulate(rows, tablefmt='plain', disable_numparse=True, missingval='–')}"] if rows else []


def _memory(peak: int | None) -> str:
    return "–" if peak is None else f"{peak / 2**20:,.0f} MiB"


def _facts(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in short_facts(facts).items())


def _lines(config: dict[str, Any], prefix: str = "") -> list[list[object]]:
    lines: list[list[object]] = []
    for key, value in config.items():
        nested = isinstance(value, dict) and value
        lines += _lines(value, f"{prefix}{key}.") if nested else [[f"{prefix}{key}", value]]
    return lines
