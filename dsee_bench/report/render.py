"""A table as Markdown, LaTeX (booktabs), HTML and CSV. The same records give the same bytes: nothing knows the time."""

import html as html_text
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

from dsee_bench.report.cell import Cell
from dsee_bench.report.tables import Row, Table

DASH = "–"
LATEX = {
    **{
        "±": r"$\pm$",
        "–": "--",
        "≈": r"$\approx$",
        "·": r"$\cdot$",
        "×": r"$\times$",
        "Ω": r"$\Omega$",
        "≥": r"$\geq$",
    },
    **{char: f"\\{char}" for char in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"},
}


@dataclass(frozen=True)
class Style:
    """How a form of output writes a plain text, the best number of a column and a tie with it."""

    escape: Callable[[str], str]
    best: str  # with {} where the number goes
    tie: str


def escape_latex(text: str) -> str:
    return re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match.group()], text)


MARKDOWN = Style(lambda text: text.replace("|", "\\|"), "**{}**", "{} ≈")
TEX = Style(escape_latex, r"\textbf{{{}}}", r"{} $\approx$")
HTML = Style(html_text.escape, "<b>{}</b>", "{} ≈")


def markdown(table: Table) -> str:
    """A heading, a pipe table and the notes as a list."""
    below = "\n".join(f"- {note}" for note in table.notes)
    grid = shown(table, MARKDOWN).to_markdown(index=False, disable_numparse=True, colalign=_alignment(table))
    return f"# {table.spec.title}\n\n{grid}\n\n{below}\n"


def latex(table: Table) -> str:
    """A `table` environment for a document that loads booktabs and graphicx."""
    letters = "".join(side[0] for side in _alignment(table))
    body = shown(table, TEX).to_latex(index=False, column_format=letters).rstrip()
    below = "\n".join(f"\\par {escape_latex(note)}" for note in table.notes)
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{escape_latex(table.spec.title)}}}\n\\label{{tab:{table.name}}}\n"
        f"\\resizebox{{\\linewidth}}{{!}}{{%\n{body}\n}}\n\\par\\raggedright\\footnotesize\n{below}\n\\end{{table}}\n"
    )


def html(table: Table) -> str:
    """A <section> to be put into a page."""
    below = "\n".join(f"<li>{html_text.escape(note)}</li>" for note in table.notes)
    body = shown(table, HTML).to_html(index=False, escape=False, border=0, classes="paper")
    title = html_text.escape(table.spec.title)
    return (
        f'<section id="table-{table.name}">\n<h2>{title}</h2>\n{body}\n<ul class="notes">\n{below}\n</ul>\n</section>\n'
    )


def document(table: Table) -> str:
    """The same as a file of its own."""
    style = (files("dsee_bench.report") / "page.css").read_text(encoding="utf-8")
    title = html_text.escape(table.spec.title)
    head = (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n<style>\n{style}</style>\n'
    )
    return f"{head}{html(table)}</html>\n"


def csv(table: Table) -> str:
    """One line a cell, with full digits, for programs and spreadsheets; `printed` has other people's numbers."""
    return pd.DataFrame([*_csv_lines(table), *_csv_published(table)]).to_csv(index=False, lineterminator="\n")


def shown(table: Table, style: Style) -> pd.DataFrame:
    """The grid of texts: our rows, then the published ones."""
    lines = [_texts(table, row, style) for row in table.rows]
    heads = [*lines[0]]
    for number, row in enumerate(table.published, 1):
        texts = {"Backbone": row.backbone, "Method": f"{row.label} [{number}]", "Checkpoint": "published"} | {
            **row.cells
        }
        lines.append({head: style.escape(texts.get(head, DASH)) for head in heads})
    return pd.DataFrame(lines).rename(columns=style.escape)


def _texts(table: Table, row: Row, style: Style) -> dict[str, str]:
    texts = {"Backbone": style.escape(row.backbone), "Method": style.escape(row.label)}
    texts |= {head: _cell(cell, style) for head, cell in zip(table.heads, row.cells, strict=True)}
    costs = zip(table.spec.costs, row.costs, strict=True)
    texts |= {column.label: style.escape(DASH if cost is None else cost) for column, cost in costs}
    return texts | {"Checkpoint": style.escape(row.checkpoint)}


def _cell(cell: Cell | None, style: Style) -> str:
    text = style.escape(DASH if cell is None else cell.text)
    match None if cell is None else cell.mark:
        case "best":
            return style.best.format(text)
        case "tie":
            return style.tie.format(text)
        case _:
            return text


def _alignment(table: Table) -> tuple[str, ...]:
    numbers = len(table.heads) + len(table.spec.costs)
    return ("left", "left", *["right"] * numbers, "left")


def _csv_lines(table: Table) -> Iterator[dict[str, object]]:
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


def _csv_published(table: Table) -> Iterator[dict[str, object]]:
    for row in table.published:
        for label, printed in row.cells.items():
            yield {
                "backbone": row.backbone,
                "method": row.label,
                "column": label,
                "printed": printed,
                "source": row.source,
            }
