"""The atlas: which cells there are, where their zeros lie, and that a row is whole and found again."""

import json

import pytest
import torch

from dsee_bench.cli import atlas as command
from dsee_bench.deploy import atlas, engines
from dsee_bench.deploy.engines.torch_2_4 import is_2_4


@pytest.mark.parametrize(("pattern", "sparsity"), [("single", 0.9), ("2:4", 0.5), ("blocks", 0.75)])
def test_zeros_are_as_many_as_asked_and_lie_as_the_pattern_says(pattern, sparsity):
    weight = atlas.pruned((64, 128), pattern, sparsity)
    assert int((weight == 0).sum()) == pytest.approx(sparsity * 64 * 128, abs=1)  # 8,192 entries, 32 blocks of 256
    assert is_2_4(weight) == (pattern == "2:4")
    empty = (weight.view(4, 16, 8, 16) == 0).all(3).all(1)
    assert int(empty.sum()) == (24 if pattern == "blocks" else 0)


def test_removed_rows_are_gone():
    assert atlas.pruned((64, 8), "rows", 0.75).shape == (16, 8)
    assert bool((atlas.pruned((64, 8), "single", 0.0) != 0).all())


def test_every_shape_token_and_engine_is_there_and_each_pattern_where_it_can_tell_something():
    cells = atlas.cells(quick=False)
    assert len(set(cells)) == len(cells)
    assert {cell.engine for cell in cells} == set(engines.of_one_weight())
    assert {(cell.shape, cell.tokens) for cell in cells} == {(s, t) for s in atlas.SHAPES for t in (1, 32, 512)}
    shares = {name: {(c.pattern, c.sparsity) for c in cells if c.engine == name} for name in engines.names()}
    assert {share for pattern, share in shares["torch_csr"] if pattern == "single"} == {0.5, 0.7, 0.8, 0.9, 0.95}
    assert shares["torch_2_4"] == {("2:4", 0.5)}
    rows = {("rows", share) for share in (0.25, 0.5, 0.75, 0.9)}
    assert shares["openvino"] == rows | {("single", 0.9), ("blocks", 0.9), ("2:4", 0.5)}


SMALL = {"tiny": (64, 32)}


def test_a_cell_becomes_a_row(monkeypatch):
    monkeypatch.setattr(atlas, "SHAPES", SMALL)
    row = atlas.measure(atlas.Cell("tiny", 4, "rows", 0.75, "torch"), "here", seconds=0.01)
    assert (row["machine"], row["outputs"], row["inputs"], row["reason"]) == ("here", 64, 32, None)
    assert row["rounds"] >= atlas.LEAST
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["threads"] == torch.get_num_threads()
    assert (row["bytes"], row["dense_bytes"]) == (4 * 16 * 33, 4 * 64 * 33)  # O (I + 1) numbers
    assert atlas.key(row) == atlas.Cell("tiny", 4, "rows", 0.75, "torch")
    refused = atlas.measure(atlas.Cell("tiny", 4, "blocks", 0.0, "torch_bsr"), "here")
    assert refused["reason"].startswith("no linear weight has half of its zeros in blocks")


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime_int8", "openvino", "openvino_int8"])
def test_engines_of_files_take_one_weight(name, monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip(name.removesuffix("_int8"))
    weight, batch = (
        atlas.pruned((64, 32), "single", 0.5),
        {"x": torch.randn(4, 32, generator=torch.Generator().manual_seed(0))},
    )
    source = atlas._source(weight, tmp_path, batch)
    with torch.inference_mode():
        expected = source.module(**batch)
    found = engines.deploy(name, source, tmp_path).run(batch)
    off = 0.1 * float(expected.std()) if name.endswith("int8") else 1e-5
    assert (found - expected).abs().max() < off


def test_the_command_goes_on_where_it_was(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(atlas, "SHAPES", SMALL)
    monkeypatch.setattr(atlas, "SECONDS", 0.01)
    words = ["--results", str(tmp_path), "--machine", "My laptop", "--quick", "--engines"]
    assert command.main([*words, "torch"]) == 0
    file = tmp_path / "atlas" / "my-laptop.jsonl"
    first = file.read_text().splitlines()
    # One token and 32; 90 % of zeros, 2:4, blocks and rows.
    assert [(json.loads(line)["tokens"], json.loads(line)["pattern"]) for line in first] == [
        (tokens, pattern) for tokens in (1, 32) for pattern in ("single", "2:4", "blocks", "rows")
    ]
    assert command.main([*words, "torch,torch_bsr"]) == 0
    lines = file.read_text().splitlines()
    assert lines[: len(first)] == first
    assert [json.loads(line)["engine"] for line in lines[len(first) :]] == ["torch_bsr"] * 2
    assert "8 rows were there, 2 are new" in capsys.readouterr().out
    assert command.main([*words, "torhc"]) == 1
    assert "no engine 'torhc'; did you mean 'torch'" in capsys.readouterr().err
    file.write_text("{}\n")
    assert command.main([*words, "torch"]) == 1
    assert "line 1 is no row of the atlas" in capsys.readouterr().err
