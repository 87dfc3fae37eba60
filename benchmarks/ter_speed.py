"""How long TER takes for one system on WebNLG's test set; the edits must be those that the challenge published.

The outputs are in the folder of DSEE_BENCH_TEST_DATA.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from measured import HEAD, Row

from dsee_bench.metrics.nlg.tercom import edits_and_length
from dsee_bench.tasks.hypotheses import read_texts

TEAM, EDITS = "Tilburg_University-3", 24514  # tests/metrics/nlg/test_ter.py
FOLDER = "metrics/webnlg2017"


def rows() -> Iterator[Row]:
    what, data = "TER of WebNLG's test set", os.environ.get("DSEE_BENCH_TEST_DATA")
    if data is None:
        yield Row(what, None, "s", 3.0, "set DSEE_BENCH_TEST_DATA")
        return
    folder = Path(data) / FOLDER
    outputs = read_texts(folder / f"teams/{TEAM}_all-cat.txt")
    columns = [read_texts(folder / f"references/gold-all-cat-reference{number}.lex") for number in range(3)]
    started, edits = time.process_time(), 0
    for output, references in zip(outputs, zip(*columns, strict=True), strict=True):
        given = [text.lower().split() for text in references if text.strip()]
        edits += edits_and_length(output.lower().split(), given)[0]
    seconds = time.process_time() - started
    assert edits == EDITS, f"{edits} edits, published are {EDITS}"
    yield Row(what, seconds, "s", 3.0, f"{edits:,} edits, as published")


if __name__ == "__main__":
    print(HEAD)
    for row in rows():
        print(row.line())
