"""ToTTo's line, by hand."""

from dsee_bench.tasks.totto import linearised


def cell(value, header=False, span=1):
    return {"value": value, "is_header": header, "column_span": span, "row_span": 1}


TABLE = [
    [cell("Season", True, 2), cell("Points", True)],
    [cell("year", True), cell("team", True), cell("per game", True)],
    [cell("2010", True), cell("Tennessee"), cell("15.3")],
]


def test_the_headers_of_a_highlighted_cell():
    row = {"table": TABLE, "table_page_title": "T", "table_section_title": "", "highlighted_cells": [[2, 2], [2, 1]]}
    assert linearised(row) == (
        "<page_title> T </page_title> <table> "
        "<cell> 15.3 <col_header> Points </col_header> <col_header> per game </col_header> "
        "<row_header> 2010 </row_header> </cell> "
        "<cell> Tennessee <col_header> Season </col_header> <col_header> team </col_header> "
        "<row_header> 2010 </row_header> </cell> </table>"
    )
    assert linearised({**row, "table_section_title": "S", "highlighted_cells": []}) == (
        "<page_title> T </page_title> <section_title> S </section_title> <table> </table>"
    )
