"""ONNX files: the same answers as torch for other batches and lengths than the exporter saw, narrowed models too."""

import importlib.util

import pytest
import torch

import dsee_bench
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.deploy import manifest
from dsee_bench.deploy.onnx_file import ONNX_FILE
from dsee_bench.runs import sweep

QUICK = ["train.max_rows=32", "train.epochs=1", "train.retune_epochs=1", "train.lr_adapter=1e-2"]
MODELS = [
    # backbone,       method,            update,   why
    ("tiny-bert", "dsee_structured", "apart", "narrowed; the adapter is merged there though it lies apart beside it"),
    ("tiny-roberta", "dsee_structured", "merged", "no token types, positions from the padding"),
    ("tiny-deberta", "dsee_structured", "merged", "fused weights, put together again"),
]
TEXTS = [
    (["one"], "one row, shorter than any the exporter saw"),
    (["a b c d e f g " * 8, "two", "three words here"], "more rows, longer, padded"),
]


def go(*asked):
    asked = [*QUICK, *asked]
    return run(sweep.resolved(asked), asked)


@pytest.mark.slow
@pytest.mark.parametrize(("backbone", "method", "update", "why"), MODELS)
def test_onnxruntime_answers_as_torch_does(backbone, method, update, why, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'dsee-bench[dev]'")
    from transformers import AutoTokenizer

    folder = tmp_path / "out"
    where = [f"results_dir={tmp_path}", f"export={folder}", f"export_adapter={update}", "export_onnx=true"]
    assert go(f"backbone={backbone}", f"method={method}", *where) == 0
    model, tokenizer = dsee_bench.load(folder), AutoTokenizer.from_pretrained(folder)
    assert ONNX_FILE in manifest.read(folder).files
    session = onnxruntime.InferenceSession(folder / ONNX_FILE, providers=["CPUExecutionProvider"])
    said = []
    for texts, which in TEXTS:
        rows = tokenizer(texts, texts[::-1], padding=True, return_tensors="pt")
        batch = {asked.name: rows[asked.name] for asked in session.get_inputs()}  # tiny-roberta's has token types, too
        (found,) = session.run(["logits"], {name: value.numpy() for name, value in batch.items()})
        with torch.no_grad():
            expected = model(**batch).logits
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-6, msg=f"{why}; {which}")
        said.append(expected)
    assert torch.cat(said).std(0).max() > 2e-5, "the answers of so small a model are close, but not that close"


REFUSED = [
    # settings,                                               what is said
    (["export_onnx=true"], "export_onnx=true writes into the folder of export=DIR; name one"),
]


@pytest.mark.parametrize(("asked", "message"), REFUSED)
def test_what_cannot_be_written_is_refused_at_once(asked, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        go(*asked, f"results_dir={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "onnxscript" else there(name))
    with pytest.raises(ConfigError, match=r"needs onnxscript, not installed here; pip install 'dsee-bench\[onnx\]'"):
        go("export_onnx=true", f"export={tmp_path}/out", f"results_dir={tmp_path}")
    assert not list(tmp_path.iterdir())
