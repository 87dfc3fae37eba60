"""The table of `make bench`: a row says whether its bar holds, and every script of it can be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

from measured import Row  # noqa: E402

ROWS = [
    (Row("a", 0.5, "s", 0.5), True, "equal to the bar"),
    (Row("a", 0.51, "s", 0.5), False, "above it"),
    (Row("a", 1.2, "x", 1.0, at_least=True), True, "a bar from below"),
    (Row("a", 0.9, "x", 1.0, at_least=True), False, "below it"),
    (Row("a", None, "s", 0.5), None, "not measured"),
    (Row("a", 3.0, "MB", None), None, "without a bar"),
]


@pytest.mark.parametrize(("row", "holds", "why"), ROWS)
def test_a_row_says_whether_its_bar_holds(row, holds, why):
    assert row.holds is holds, why
    assert ("MISSED" in row.line()) is (holds is False)


@pytest.mark.slow
def test_the_tables_scripts_are_there():
    done = subprocess.run(
        [sys.executable, str(FOLDER / "table.py"), "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "--long" in done.stdout


def test_a_growth_knows_the_slope_of_a_line():
    from growth import Growth

    growth = Growth("n", "record", "s", (1, 2, 4), (5.0, 7.0, 11.0))  # 3 + 2 x
    assert growth.line == pytest.approx((2, 3))
    assert growth.power == pytest.approx(1)
