"""ToTTo's tables as a line (Parikh et al. 2020): the highlighted cells with their headers, as its authors have it.

    <page_title> T </page_title> <section_title> S </section_title> <table> <cell> 15.3 <col_header> PPG </col_header>
    <row_header> 2010 </row_header> </cell> </table>

A cell's headers are the header cells above it in the columns it spans, and those before it in its row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsee_bench.system.errors import shown
from dsee_bench.tasks.rows import Row

Cell = Mapping[str, Any]
COLUMN = "linearized"


def with_line(row: Row) -> Row:
    """Return a row with a column `linearized`; ValueError for a row that is none of ToTTo's."""
    try:
        return replace(row, cells={**row.cells, COLUMN: linearised(row.cells)})
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{row.where}: not a row of ToTTo ({error!r}): {shown(row.cells)}") from error


def linearised(cells: Mapping[str, Any]) -> str:
    """Return the line of one of ToTTo's rows; KeyError or TypeError where it is none."""
    table = cells["table"]
    titles = [("page_title", cells["table_page_title"]), ("section_title", cells["table_section_title"])]
    parts = [_tagged(tag, title) for tag, title in titles if title]
    return " ".join([*parts, "<table>", *(_cell(table, *place) for place in cells["highlighted_cells"]), "</table>"])


def _cell(table: Sequence[Sequence[Cell]], row: int, column: int) -> str:
    begin, end = _span(table[row], column)
    above = [
        cell
        for earlier in table[:row]
        for at, cell in enumerate(earlier)
        if cell["is_header"] and _span(earlier, at)[0] < end and begin < _span(earlier, at)[1]
    ]
    before = [cell for cell in table[row][:column] if cell["is_header"]]
    headers = [_tagged("col_header", cell["value"]) for cell in above]
    headers += [_tagged("row_header", cell["value"]) for cell in before]
    return " ".join(["<cell>", table[row][column]["value"], *headers, "</cell>"])


def _span(row: Sequence[Cell], at: int) -> tuple[int, int]:
    """Return the first column that a cell spans, and the one after the last."""
    begin = sum(cell["column_span"] for cell in row[:at])
    return begin, begin + row[at]["column_span"]


def _tagged(tag: str, text: str) -> str:
    return f"<{tag}> {text} </{tag}>"
