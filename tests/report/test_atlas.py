"""The page of the atlas: break-even points of made-up rows, what zeros cost in made-up records, and the figure."""

import json
from dataclasses import replace

import pytest

from dsee_bench import record
from dsee_bench.cli import report as command
from dsee_bench.report.atlas import break_even, page, pattern_of, rows_of


def row(sparsity, ratio, engine="torch_csr", pattern="single", **of):
    return {
        "machine": "a made-up machine", "shape": "BERT-base attention", "tokens": 32, "pattern": pattern,
        "sparsity": sparsity, "engine": engine, "device": "CPU", "isa": "AVX2", "threads": 1, "precision": "fp32",
        "packages": {"torch": "1"}, "ms": ratio, "dense_ms": 1.0, "ratio": ratio, "low": ratio - 0.1,
        "high": ratio + 0.1, "reason": None,
    } | of  # fmt: skip


POINTS = [
    # ratios at 50, 80 and 90 %, found, why
    ((2.0, 0.8, 0.5), 0.8, "from 80 % on it is faster"),
    ((0.8, 1.0, 0.5), 0.9, "80 % is slower again"),
    ((2.0, 0.8, 0.95), None, "at 90 % the interval holds 1"),
    ((0.8, 0.7, 0.5), 0.5, "always"),
]


@pytest.mark.parametrize(("ratios", "found", "why"), POINTS)
def test_break_even(ratios, found, why):
    rows = [row(share, ratio) for share, ratio in zip((0.5, 0.8, 0.9), ratios, strict=True)]
    assert break_even(reversed(rows)) == found, why


ROWS = [
    *(row(share, ratio) for share, ratio in ((0.5, 2.0), (0.9, 0.5))),
    row(0.75, 0.3, "torch", "rows"),
    row(0.9, 1.0, "torch", low=0.97, high=1.03),
    row(0.5, 1.0, "onnxruntime", "rows", dense_ms=0.5),
    row(0.5, 0, "torch_2_4", "2:4", reason="needs a card", packages=None),
]


def test_the_page_says_what_pays(make):
    text = " ".join(page(ROWS, []).split())
    assert "| single | torch_csr | 32 | 90% |" in text.replace(" " * 2, " ")
    assert "| rows | 75% | torch | 32 | 70~ |" in text  # 0.3 ± 0.1 is known to a third
    assert "| single | 90% | torch | 32 | 0 |" in text
    assert "| onnxruntime | fp32 | 32 | 2.00 |" in text  # 1.0 ms in torch, 0.5 ms there
    assert "- torch_2_4: needs a card (1 cells)" in text
    assert "What zeros cost" not in text


def test_zeros_cost_the_difference_from_full(make):
    runs = [make("rte", "full", seed, 0.80, sparsity=0.0) for seed in (0, 1)]
    runs += [make("rte", "omp", seed, value, sparsity=0.5) for seed, value in ((0, 0.78), (1, 0.75), (2, 0.1))]
    text = " ".join(page(ROWS, runs).split())
    assert "| single | omp | 50% | -3.5 | 2 |" in text  # (-2 - 5) / 2; seed 2 has no counterpart


def test_patterns_are_told_from_settings():
    assert pattern_of({"sparsity_masked": 0.5, "settings": {"method.stages.prune.scope": "2:4"}}) == ("2:4", 0.5)
    narrow = {"flops_saved": 0.25, "sparsity_masked": 0.0, "settings": {"method.stages.narrow._target_": "Narrow"}}
    assert pattern_of(narrow) == ("heads and neurons", 0.25)
    assert pattern_of({"flops_saved": -0.01, "sparsity_masked": 0.0, "settings": {}}) is None


def test_the_command_writes_the_page_and_a_figure_a_machine(tmp_path, make, capsys):
    assert command.main(["atlas", "--results", str(tmp_path)]) == 1
    assert "`dsee-bench atlas` measures this machine" in capsys.readouterr().err
    folder = tmp_path / "atlas"
    folder.mkdir()
    cells = [{"shape": "s", "tokens": 1, "engine": "torch"} | each for each in ROWS]
    (folder / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in cells))
    (folder / "b.jsonl").write_text(json.dumps(row(0.9, 0.5, machine="B")) + "\n")
    record.write(replace(make()), tmp_path)
    assert command.main(["atlas", "--results", str(tmp_path)]) == 0
    made = {path.name for path in folder.iterdir()}
    assert {"atlas.md", "break-even-a-made-up-machine.svg", "break-even-b.png"} <= made
    assert "## B" in (folder / "atlas.md").read_text()
    assert len(rows_of(tmp_path)) == len(ROWS) + 1
