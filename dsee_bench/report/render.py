"""A table as Markdown, LaTeX (booktabs), HTML and CSV. The same records give the same bytes: no date is written."""

import html as html_text
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from dsee_bench.report.cells import Cell
from dsee_bench.report.tables import Table

DASH = "–"
LATEX = {
    **{"±": r"$\pm$", "–": "--", "≈": r"$\approx$", "·": r"$\cdot$", "×": r"$\times$", "Ω": r"$\Omega$"},
    **{"≥": r"$\geq$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


@dataclass(frozen=True)
class Style:
    """How an output format writes a plain text, the best number of a column and a tie with it."""

    escape: Callable[[str], str]
    best: str  # with {} in the place of the number
    tie: str

    def cell(self, cell: Cell | None) -> str:
        """The text of one cell, with its mark."""
        text = self.escape(DASH if cell is None else cell.text)
        pattern = {"best": self.best, "tie": self.tie}.get((cell.mark if cell else None) or "", "{}")
        return pattern.format(text)


def escape_latex(text: str) -> str:
    """Return `text` with the characters replaced that LaTeX takes for commands or does not know."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match.group()], text)


MARKDOWN = Style(lambda text: text.replace("|", "\\|"), "**{}**", "{} ≈")
TEX = Style(escape_latex, r"\textbf{{{}}}", r"{} $\approx$")
HTML = Style(html_text.escape, "<b>{}</b>", "{} ≈")


def markdown(table: Table) -> str:
    """A heading, a pipe table and the notes as a list."""
    below = "\n".join(f"- {note}" for note in table.notes)
    body = grid(table, MARKDOWN).to_markdown(index=False, disable_numparse=True, colalign=_alignment(table))
    return f"# {table.spec.title}\n\n{body}\n\n{below}\n"


def latex(table: Table) -> str:
    """A `table` environment for a document that loads booktabs and graphicx."""
    letters = "".join(side[0] for side in _alignment(table))
    body = grid(table, TEX).to_latex(index=False, column_format=letters).rstrip()
    below = "\n".join(f"\\par {escape_latex(note)}" for note in table.notes)
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{escape_latex(table.spec.title)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\resizebox{{\\linewidth}}{{!}}{{%\n{body}\n}}\n\\par\\raggedright\\footnotesize\n{below}\n\\end{{table}}\n"
    )


def html(table: Table) -> str:
    """A <section> to be put into a page."""
    below = "\n".join(f"<li>{html_text.escape(note)}</li>" for note in table.notes)
    body = grid(table, HTML).to_html(index=False, escape=False, border=0, classes="paper")
    title = html_text.escape(table.spec.title)
    return (
        f'<section id="table-{table.name}">\n<h2>{title}</h2>\n{body}\n<ul class="notes">\n{below}\n</ul>\n</section>\n'
    )


def document(table: Table) -> str:
    """The <section> as an HTML file of its own."""
    style = (files("dsee_bench.report.page") / "page.css").read_text(encoding="utf-8")
    title = html_text.escape(table.spec.title)
    head = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{style}</style>\n'
    )
    return f"{head}{html(table)}</html>\n"


def csv(table: Table) -> str:
    """One line a cell, with full digits, for programs and spreadsheets; `printed` has the published numbers."""
    return pd.DataFrame([*_csv_lines(table), *_csv_published(table)]).to_csv(index=False, lineterminator="\n")


def grid(table: Table, style: Style) -> pd.DataFrame:
    """Return the texts of a table: our rows, then the published ones."""
    headings = ["Backbone", "Method", *table.headings, *(cost.label for cost in table.spec.costs), "Checkpoint"]
    lines = []
    for row in table.rows:
        costs = (style.escape(DASH if cost is None else cost) for cost in row.costs)
        names = (style.escape(name) for name in (row.backbone, row.label))
        lines.append([*names, *map(style.cell, row.cells), *costs, style.escape(row.checkpoint)])
    for number, other in enumerate(table.published, 1):
        texts = {"Backbone": other.backbone, "Method": f"{other.label} [{number}]", "Checkpoint": "published"}
        texts |= other.cells
        lines.append([style.escape(texts.get(heading, DASH)) for heading in headings])
    return pd.DataFrame(lines, columns=[style.escape(heading) for heading in headings])


def _alignment(table: Table) -> tuple[str, ...]:
    numbers = len(table.headings) + len(table.spec.costs)
    return ("left", "left", *["right"] * numbers, "left")


def _csv_lines(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=False):  # the average has no column of its own
            if cell is None:
                continue
            yield {
                "backbone": row.backbone,
                "method": row.label,
                "column": column.label,
                "task": column.task,
                "score": column.score,
                "split": column.split or table.spec.split,
                "mean": cell.mean,
                "std": cell.std,
                "median": cell.median,
                "n": len(cell.seeds),
                "seeds": " ".join(map(str, cell.seeds)),
                "mark": cell.mark,
                "checkpoint": row.checkpoint,
            } | {cost.cost: cell.costs.get(cost.cost) for cost in table.spec.costs}


def _csv_published(table: Table) -> Iterator[dict[str, Any]]:
    for row in table.published:
        names: dict[str, Any] = {"backbone": row.backbone, "method": row.label}
        for label, printed in row.cells.items():
            yield names | {"column": label, "printed": printed, "source": row.source}
