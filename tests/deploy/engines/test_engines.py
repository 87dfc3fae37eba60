"""Every engine of the folder on a tiny classifier: answers as torch has them, bytes, and refusals with their reason."""

import copy
import importlib.util
import math
import shutil

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from dsee_bench.config import ConfigError
from dsee_bench.deploy import engines
from dsee_bench.deploy.deployment import Clock, energy_costs, measured, time_costs, timing_batch
from dsee_bench.deploy.engines import Refused, Source
from dsee_bench.deploy.engines._torch import bytes_of, with_sparse
from dsee_bench.deploy.engines.torch_2_4 import is_2_4
from dsee_bench.deploy.onnx_file import write_onnx
from dsee_bench.record import Score

PRECISE = ["openvino", "onnxruntime", "torch", "torch_bsr", "torch_compile", "torch_csr"]
ROUNDED = ["openvino_int8", "onnxruntime_int8"]
WITH_FILES = {"onnxruntime", "onnxruntime_int8", "openvino", "openvino_int8"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]")


@pytest.fixture(scope="module")
def model():
    """Two layers of width 32 whose linear weights have 12 in 16 blocks of 8 x 8 zeroed."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.3,
        max_position_embeddings=64,
    )
    model = BertForSequenceClassification(config).eval()
    for layer in model.bert.encoder.modules():
        if isinstance(layer, nn.Linear):
            rows, columns = (size // 8 for size in layer.weight.shape)
            blocks = torch.arange(rows)[:, None] % 4 == torch.arange(columns) % 4
            layer.weight.data *= blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)
    return model


@pytest.fixture(scope="module")
def source(model, tokenizer, tmp_path_factory):
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"

    def onnx():
        if not file.exists():
            write_onnx(copy.deepcopy(model), tokenizer, file)
        return file

    return Source(model, onnx, lambda: iter([batch(seed) for seed in range(4)]))


def batch(seed, rows=6, tokens=11):
    ids = torch.randint(2, 50, (rows, tokens), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[0, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def test_the_folder_is_the_list():
    assert set(engines.names()) == {*PRECISE, *ROUNDED, "torch_2_4"}
    with pytest.raises(ConfigError, match="no engine 'onnxruntim'; did you mean 'onnxruntime'"):
        engines.check(["torch", "onnxruntim"])


@pytest.mark.slow  # the exporter
@pytest.mark.parametrize("name", [*PRECISE, *ROUNDED])
def test_an_engine_answers_as_torch_does(name, source, model, tmp_path):
    if name == "torch_compile" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("needs a C++ compiler")
    if name in WITH_FILES:
        pytest.importorskip("onnxruntime")
        pytest.importorskip(name.removesuffix("_int8"))
    given = batch(9)
    with torch.inference_mode():
        expected = model(**given).logits
    deployed = engines.deploy(name, source, tmp_path)
    found = deployed.run(given)
    assert found.shape == expected.shape
    assert expected.std(0).max() > 0.05, "the rows have answers that differ"
    tolerance = 2e-5 if name in PRECISE else 0.25 * float(expected.std(0).max())
    torch.testing.assert_close(found.float().cpu(), expected, rtol=0, atol=tolerance)
    if name in ROUNDED:
        assert (found - expected).abs().max() > 1e-4, "it is rounded at all"
    assert deployed.precision == ("int8" if name in ROUNDED else "fp32")
    assert deployed.bytes > sum(value.numel() for value in model.parameters()) / 2, "the least there can be: 8 bits"


@pytest.mark.parametrize(("name", "zeroed", "why"), [
    ("torch_csr", None, "no linear weight has zeros"),
    ("torch_bsr", "scattered", "no linear weight has half of its zeros in blocks"),
    ("torch_2_4", "scattered", "needs an NVIDIA card"),
])  # fmt: skip
def test_a_model_that_does_not_fit_is_refused_with_the_reason(name, zeroed, why, tmp_path):
    if name == "torch_2_4" and torch.cuda.is_available():
        pytest.skip("there is a card")
    module = nn.Sequential(nn.Linear(16, 16))
    if zeroed:
        module[0].weight.data[torch.arange(16), torch.arange(16)] = 0
    with pytest.raises(Refused, match=why):
        engines.deploy(name, Source(module, None, None), tmp_path)


def test_without_a_compiler_torch_compile_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"no g\+\+ or clang\+\+ here"):
        engines.deploy("torch_compile", Source(nn.Linear(2, 2), None, None), tmp_path)


def test_the_atlas_leaves_out_what_one_weight_cannot_show():
    assert set(engines.names()) - set(engines.of_one_weight()) == {"torch_compile"}


def test_a_missing_package_is_a_reason_that_names_the_extra(monkeypatch, source):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "openvino" else there(name))
    found = measured("openvino", source, source, {}, Clock(1))
    assert found.reason == "openvino needs openvino, not installed here; pip install 'dsee-bench[engines]'"
    assert (found.latency_ms, found.bytes, found.scores) == (None, None, ())


def test_what_fails_inside_an_engine_is_its_reason(source):
    def broken():
        raise RuntimeError("Unsupported: aten::made_up\nand a long story")

    found = measured("onnxruntime", Source(source.module, broken, None), source, {}, Clock(1))
    assert found.reason == "RuntimeError: Unsupported: aten::made_up"


def test_what_was_timed_is_whole(source, tokenizer, model):
    clock = Clock(0.1, batch=2, tokens=8)
    given = timing_batch(tokenizer, 50, clock)
    assert {name: tuple(value.shape) for name, value in given.items()} == dict.fromkeys(tokenizer("a"), (2, 8))
    score = Score("accuracy", 0.5, "0-1", "higher", "dev", 4, "made up")
    found = measured("torch_csr", source, source, given, clock, lambda deployed: (score,))
    assert found.reason is None
    assert found.rounds >= 9
    low, high = found.interval
    assert low <= found.ratio <= high
    assert found.scores == (score,)
    assert found.machine["packages"] == {"torch": torch.__version__}
    assert found.note == "12 weights in CSR, indices of 8 bytes"
    costs = {cost.name: cost.value for cost in time_costs(found)}
    assert costs["latency_ms"] == found.latency_ms
    assert costs["tokens_per_second"] == pytest.approx(16_000 / found.latency_ms)
    assert [cost.name for cost in energy_costs(source, source, given)] == ["energy_j", "energy_dense_j"]


def test_a_model_that_cannot_be_scored_keeps_its_times(source, tokenizer):
    def score(deployed):
        raise Refused("this engine writes no texts")

    clock = Clock(0.1, batch=1, tokens=4)
    found = measured("torch", source, source, timing_batch(tokenizer, 50, clock), clock, score)
    assert (found.unscored, found.scores) == ("this engine writes no texts", ())
    assert math.isfinite(found.ratio)


def test_bytes_of_a_sparse_layout_are_those_of_its_parts():
    """Three values of 4 bytes, three columns and five row starts of 8; a bias of four values; one weight twice."""
    linear = nn.Linear(4, 4)
    linear.weight.data = torch.diag(torch.tensor([1.0, 2.0, 3.0, 0.0]))
    module, changed = with_sparse(nn.Sequential(linear), lambda weight: weight.to_sparse_csr(), "")
    assert (changed, bytes_of(module)) == (1, 3 * 4 + 3 * 8 + 5 * 8 + 4 * 4)
    assert bytes_of(nn.ModuleList([linear, linear])) == 16 * 4 + 4 * 4


TWO_OF_FOUR = [
    ([[1, 0, 0, 2], [0, 0, 3, 0]], True, "two and one of four"),
    ([[1, 2, 0, 3], [0, 0, 3, 0]], False, "three of four"),
    ([[1, 0, 0, 2, 1]], False, "five inputs are no fours"),
]


@pytest.mark.parametrize(("weight", "expected", "why"), TWO_OF_FOUR)
def test_2_4_is_told_from_other_zeros(weight, expected, why):
    assert is_2_4(torch.tensor(weight)) is expected, why
