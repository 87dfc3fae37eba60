"""One self-contained HTML file: all runs in a sortable, filterable table, the paper tables, the figures.

It opens from disk with no network. The table is DataTables' (MIT), taken from the installed `itables` package when the
page is made; the figures are those that `dsee-report plots` left in the plots folder.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dsee_bench.record import Record
from dsee_bench.report import render
from dsee_bench.report.costs import cost_text, is_theoretical
from dsee_bench.report.records import GROUPS
from dsee_bench.report.results import frame
from dsee_bench.report.rows import variants
from dsee_bench.report.tables import Table
from dsee_bench.report.terminal import number, short_facts
from dsee_bench.tasks.holdout import VALIDATION

COSTS = {"trainable_parameters": "count", "sparsity_masked": "percent", "flops_saved": "percent"}


@dataclass(frozen=True)
class Value:
    """A number in the table of runs: its text, and the key it is sorted by (None: below every number)."""

    shown: str
    order: float | None


def page(records: Sequence[Record], tables: Iterable[Table], plots: Path) -> str:
    """Return the whole file. `plots` is the folder with the figures as SVG, named after the tables."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    own, bundle = files("dsee_bench.report.page"), files("itables") / "html"
    settings = _settings(records)
    return environment.from_string((own / "page.html").read_text(encoding="utf-8")).render(
        runs=[_run(record, settings.get(record.run_id, "")) for record in records],
        sections=[(Markup(render.html(table)), _figures(plots, table.name)) for table in tables],
        details=_json({record.run_id: _details(record) for record in records}),
        style=Markup((own / "page.css").read_text(encoding="utf-8")),
        script=Markup((own / "page.js").read_text(encoding="utf-8")),
        library_style=Markup((bundle / "dt_bundle.css").read_text(encoding="utf-8")),
        library=base64.b64encode((bundle / "dt_bundle.js").read_bytes()).decode("ascii"),
        licence=distribution("itables").read_text("licenses/LICENSE") or "",
    )


def _run(record: Record, settings: str) -> dict[str, Any]:
    """One row of the table of runs, with its first score on rows that chose nothing, where there is one."""
    score = min(record.scores, key=lambda score: score.split == VALIDATION, default=None)
    costs = {cost.name: cost.value for cost in record.costs}
    return {group: record.config.get(group, {}).get("name", "") for group in GROUPS} | {
        "run_id": record.run_id,
        "status": record.status,
        "settings": settings,
        "seed": record.config.get("seed", ""),
        "score": "" if score is None else f"{score.name} {score.split}",
        "checkpoint": record.checkpoint or "",
        "values": [
            _value(None if score is None else score.value, "{:.4f}".format),
            *(_value(costs.get(name), partial(_cost, costs, name)) for name in COSTS),
            _value(record.made_by.get("seconds"), "{:,.0f}".format),
        ],
    }


def _cost(costs: Mapping[str, Any], name: str, value: float) -> str:
    word = " theoretical" if is_theoretical(name, costs.get("sparsity_masked")) else ""
    return f"{cost_text(value, COSTS[name])}{word}"


def _value(value: float | None, text: Callable[[float], str]) -> Value:
    return Value(render.DASH, None) if value is None else Value(text(value), value)


def _settings(records: Sequence[Record]) -> dict[str, str]:
    """Return by run id the settings that tell a run from others of its method on its backbone."""
    parts = [part for _, part in frame(records).groupby(["backbone", "method"])]
    rows = [variant for part in parts for variant in variants(part)]
    return {run_id: variant.label for variant in rows for run_id in variant.runs["run_id"]}


def _details(record: Record) -> dict[str, Any]:
    """The record with numbers as text, without the curves and maps that the figures show."""
    return {
        "command": record.made_by.get("command", ""),
        "error": record.error,
        "scores": [asdict(score) | {"value": number(score.value)} for score in record.scores],
        "costs": [asdict(cost) | {"value": number(cost.value)} for cost in record.costs],
        "stages": [{"name": s.name, "seconds": f"{s.seconds:.1f}"} | short_facts(s.facts) for s in record.stages],
        "data": [{"split": name} | split for name, split in record.data.items()],
        "config": record.config,
        "made_by": record.made_by,
    }


def _json(content: object) -> Markup:
    """JSON for the inside of a <script>: no text in it can close the element."""
    return Markup(json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"))


def _figures(folder: Path, table: str) -> list[tuple[str, str]]:
    """(name, base64 of the SVG) of each figure of a table."""
    paths = sorted(path for path in folder.glob(f"{table}-*.svg") if path.is_file())
    return [(path.stem, base64.b64encode(path.read_bytes()).decode("ascii")) for path in paths]
