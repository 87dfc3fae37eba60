"""One record as a screen of text."""

from typing import Any

from tabulate import tabulate

from dsee_bench.record import Record


def show_text(record: Record) -> str:
    """Scores, costs, stages, data and settings of a run, how it was made, and the command that repeats it."""
    checkpoint = f", scores of the {record.checkpoint} weights" if record.checkpoint else ""
    scores = [[s.name, s.split, number(s.value), s.unit, s.n, s.reason or s.signature] for s in record.scores]
    stages = [[s.name, f"{s.seconds:.1f} s", _memory(s.peak_memory), _facts(s.facts)] for s in record.stages]
    parts = [f"{record.run_id}: {record.status}{checkpoint}"]
    parts += _section("scores", scores)
    parts += _section("costs", [[c.name, number(c.value), c.unit, c.counts] for c in record.costs])
    parts += _section("stages", stages)
    parts += _section("data", [[name, split.get("n"), split.get("sha256")] for name, split in record.data.items()])
    parts += _section("settings", [[key, value] for key, value in _lines(record.config)])
    parts += _section("made by", [[key, value] for key, value in _lines(record.made_by)])
    return "\n\n".join(parts + ([record.error.rstrip()] if record.error else []))


def _section(title: str, rows: list[list[Any]]) -> list[str]:
    return [f"{title}\n{tabulate(rows, tablefmt='plain', disable_numparse=True, missingval='–')}"] if rows else []


def number(value: float | None) -> str:
    """Counts in full, everything else with six significant digits."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.6g}"


def _memory(peak: int | None) -> str:
    return "–" if peak is None else f"{peak / 2**20:,.0f} MiB"


def _facts(facts: dict[str, Any]) -> str:
    """The facts that fit on a line; curves and maps of sites belong to the figures."""
    return ", ".join(f"{key} {value}" for key, value in facts.items() if not isinstance(value, list | dict))


def _lines(config: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    for key, value in config.items():
        nested = isinstance(value, dict) and value
        lines += _lines(value, f"{prefix}{key}.") if nested else [(f"{prefix}{key}", value)]
    return lines
