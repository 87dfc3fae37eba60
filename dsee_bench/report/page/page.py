"""One HTML file: contents, claims, the paper tables with their figures, and all runs to sort, filter and open.

It opens from disk with no network. The table of runs is DataTables' (MIT), taken from the installed `itables` package
when the page is made; it keeps only the shown rows in the document. What a run shows when it is opened is packed
(details.py). The figures are those that `dsee-report plots` left in the plots folder.
"""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from dsee_bench.record import Record
from dsee_bench.report import render
from dsee_bench.report.costs import cost_text, is_theoretical, masked_entries
from dsee_bench.report.figures.planned import planned
from dsee_bench.report.page import details
from dsee_bench.report.records import GROUPS
from dsee_bench.report.results import frame
from dsee_bench.report.rows import variants
from dsee_bench.report.tables import Table
from dsee_bench.system.files import write_atomically
from dsee_bench.tasks.holdout import VALIDATION

COSTS = {"trainable_parameters": "count", "sparsity_masked": "percent", "flops_saved": "percent"}
Number = tuple[float, str] | None  # what it is sorted by, and its text; None is below every number


@dataclass(frozen=True)
class Section:
    """One paper table and its figures."""

    name: str
    title: str
    table: Markup
    figures: tuple[tuple[str, str, str], ...]  # name, caption, base64 of the SVG


def write(records: Sequence[Record], tables: Iterable[Table], results_dir: Path, claims: str = "") -> Path:
    """Write `page.html` into the results folder, and next to it what is too large for it; return the page's path."""
    inside = details.place(list(details.packs(records)), results_dir)
    path = results_dir / "page.html"
    write_atomically(path, page(records, tables, results_dir / "plots", inside, claims))
    return path


def page(
    records: Sequence[Record],
    tables: Iterable[Table],
    plots: Path,
    packs: Mapping[str, str],
    claims: str = "",
) -> str:
    """Return the whole file.

    `plots` is the folder with the figures as SVG. `packs` are those that lie in the page, by number. `claims` is HTML
    that goes to the top of it.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    own, bundle = files("dsee_bench.report.page"), files("itables") / "html"
    settings = _settings(records)
    return environment.from_string((own / "page.html").read_text(encoding="utf-8")).render(
        count=len(records),
        runs=details.packed([_run(record, settings.get(record.run_id, "")) for record in records]),
        claims=Markup(claims),
        sections=[_section(table, plots) for table in tables],
        packs=packs,
        pack=details.PACK,
        folder=details.FOLDER,
        style=Markup((own / "page.css").read_text(encoding="utf-8")),
        script=Markup((own / "page.js").read_text(encoding="utf-8")),
        library_style=Markup((bundle / "dt_bundle.css").read_text(encoding="utf-8")),
        library=base64.b64encode((bundle / "dt_bundle.js").read_bytes()).decode("ascii"),
        licence=distribution("itables").read_text("licenses/LICENSE") or "",
    )


def _run(record: Record, settings: str) -> list[Any]:
    """One row of the table of runs, in the order of its headings; the score is the first on rows that chose nothing."""
    score = min(record.scores, key=lambda score: score.split == VALIDATION, default=None)
    costs = {cost.name: cost.value for cost in record.costs}
    return [
        *(record.config.get(group, {}).get("name", "") for group in GROUPS),
        settings,
        record.config.get("seed", ""),
        record.status,
        "" if score is None else f"{score.name} {score.split}",
        _number(None if score is None else score.value, "{:.4f}".format),
        *(_number(costs.get(name), partial(_cost, masked_entries(record), name)) for name in COSTS),
        _number(record.made_by.get("seconds"), "{:,.0f}".format),
        record.checkpoint or "",
        record.run_id,
    ]


def _cost(masked: int, name: str, value: float) -> str:
    word = " theoretical" if is_theoretical(name, masked) else ""
    return f"{cost_text(value, COSTS[name])}{word}"


def _number(value: float | None, text: Callable[[float], str]) -> Number:
    return None if value is None else (value, text(value))


def _settings(records: Sequence[Record]) -> dict[str, str]:
    """Return by run id the settings that tell a run from others of its method on its backbone."""
    parts = [part for _, part in frame(records).groupby(["backbone", "method"])]
    rows = [variant for part in parts for variant in variants(part)]
    return {run_id: variant.label for variant in rows for run_id in variant.runs["run_id"]}


def _section(table: Table, plots: Path) -> Section:
    # A number may break before its ±, and nowhere else.
    text = re.sub(r"(?<=\d) (?=[(≈])|(?<=\)) (?=≈)|(?<= ±) (?=\d)", "\N{NO-BREAK SPACE}", render.html(table))
    return Section(table.name, table.spec.title, Markup(text), tuple(_figures(table, plots)))


def _figures(table: Table, plots: Path) -> Iterator[tuple[str, str, str]]:
    for plan in planned(table):
        path = plots / f"{plan.name}.svg"
        if path.is_file():
            yield plan.name, plan.caption, base64.b64encode(path.read_bytes()).decode("ascii")
