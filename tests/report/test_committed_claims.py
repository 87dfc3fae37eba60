"""The claims in README and report are what `dsee-report claims` says of the committed records (`make report`)."""

import shutil
from pathlib import Path

import pytest

from dsee_bench.report.claims import judge_all
from dsee_bench.report.claims_text import fill_in

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def judged():
    return judge_all([], ROOT / "results")


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/results/report.md", "docs/results/report.tex"])
def test_the_claims_of_a_page_are_those_of_the_records(page, judged, tmp_path):
    copy = tmp_path / Path(page).name
    shutil.copy(ROOT / page, copy)
    fill_in(copy, judged)
    assert copy.read_text("utf-8") == (ROOT / page).read_text("utf-8"), "make report writes it again"
