"""An adapter apart, loaded by plain PEFT on the checkpoint that the run began with: the run's own outputs.

PEFT runs in a process of its own, in which this project cannot be imported.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from finished_runs import FinishedRuns, logits, texts, write
from peft import AutoPeftModelForSequenceClassification, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

import dsee_bench
from dsee_bench import config
from dsee_bench.models.fused import join
from dsee_bench.monitoring import console
from dsee_bench.stages.tune import adapter_parameters

# Outputs are taken in float64, files hold float32 (see test_export.py).
CLOSE = {"rtol": 0, "atol": 1e-5}
PEFT_ALONE = """
import json, sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dsee_bench":
            raise ImportError("dsee_bench is not installed")
if "import dsee_bench" in sys.argv:
    import dsee_bench
else:
    sys.meta_path.insert(0, Refuses())
import peft, torch, transformers
from safetensors.torch import load_file, save_file
for job in json.load(open(sys.argv[1])):
    if job["base"] is None:
        model = getattr(peft, job["cls"]).from_pretrained(job["adapter"], **job["head"])
    else:
        base = getattr(transformers, job["cls"]).from_pretrained(job["base"], **job["head"])
        base.config.pad_token_id = job["pad"]
        model = peft.PeftModel.from_pretrained(base, job["adapter"])
    model = model.eval().double()
    with torch.no_grad():
        answer = model(**load_file(job["inputs"])).logits
    save_file({"logits": answer.contiguous()}, job["outputs"])
"""
TINY = [name for name in config.options("backbone") if name.startswith("tiny-")]
QUICK_FAMILIES = ("tiny-bert", "tiny-gpt2", "tiny-llama", "tiny-distilbert", "tiny-deberta")
PEFT_METHODS = [name for name in config.options("method") if name.startswith("peft/")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return FinishedRuns(tmp_path_factory.mktemp("runs"))


def fill(state):
    """Give every number of the adapter a size that shows: a quick run leaves some at zero."""
    names = adapter_parameters(state)
    with torch.no_grad():
        for name, value in state.model.named_parameters():
            if name in names:
                value.normal_(std=0.1, generator=torch.Generator().manual_seed(len(name)))


def job_of(run, folder, **asked):
    """Export a run's adapter; return what the other process is to load and where it puts the outputs."""
    settings, state = run
    fill(state)
    write(run, folder / "out", folding="apart", **asked)
    fresh = state.fresh()
    join(fresh)
    fresh.save_pretrained(folder / "checkpoint")
    save_file({name: value.contiguous() for name, value in texts(state.setup.tokenizer).items()}, folder / "inputs")
    writes = settings.task.kind == "generation"
    return {
        "cls": "AutoModelForCausalLM" if writes else "AutoModelForSequenceClassification",
        "base": str(folder / "checkpoint"),
        "head": {} if writes else {"num_labels": settings.labels},
        "adapter": str(folder / "out"),
        "pad": state.model.config.pad_token_id,
        "inputs": str(folder / "inputs"),
        "outputs": str(folder / "outputs"),
    }


def by_peft(jobs, folder, *words, **variables):
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-c", PEFT_ALONE, str(folder / "jobs.json"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    return [load_file(job["outputs"])["logits"] for job in jobs]


def check(runs, tmp_path, *words, **asked):
    jobs = [job_of(run, tmp_path / str(number), **asked) for number, run in enumerate(runs)]
    for job, run, got in zip(jobs, runs, by_peft(jobs, tmp_path, *words), strict=True):
        state = run[1]
        expected = logits(state.model, state.setup.tokenizer)
        torch.testing.assert_close(got, expected, **CLOSE, msg=lambda text, job=job: f"{job}: {text}")
        torch.testing.assert_close(logits(dsee_bench.load(job["adapter"]), state.setup.tokenizer), expected, **CLOSE)


def test_every_method_of_peft(finished, tmp_path):
    assert len(PEFT_METHODS) >= 5
    check([finished(method) for method in ["lora", *PEFT_METHODS] if attaches(finished(method))], tmp_path)


def attaches(run):
    return run[1].adapters is not None


WITH_MORE = [
    # method, overrides,                                        what the checkpoint lacks
    ("lora_omp", (), "weights that are pruned, under an adapter and elsewhere"),
    ("lora", ("backbone.new_pooler=true",), "a pooler that is tuned with the head"),
    ("lora_twice", (), "nothing but the head"),
]


def test_what_the_checkpoint_lacks_is_carried(finished, tmp_path):
    check([finished(method, *overrides) for method, overrides, _ in WITH_MORE], tmp_path)


@pytest.mark.parametrize(
    "backbone", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK_FAMILIES)) for n in TINY]
)
def test_every_family(backbone, finished, tmp_path):
    """Every kind of weight has an adapter: parts of fused weights, too, which the checkpoint has whole."""
    check([finished("lora_all", backbone=backbone)], tmp_path)


@pytest.mark.parametrize("backbone", ["tiny-gpt2", pytest.param("tiny-deberta", marks=pytest.mark.slow)])
def test_methods_on_parts_of_a_fused_weight(backbone, finished, tmp_path):
    methods = ["peft/adalora", "peft/ia3", "peft/vera"]
    check([finished(method, backbone=backbone) for method in methods], tmp_path)


@pytest.mark.parametrize("backbone", ["tiny-gpt2", "tiny-llama"])
def test_a_language_model(backbone, finished, tmp_path):
    check([finished("lora", "task=toy_d2t", "train=demo_nlg", "train.lr_adapter=1e-2", backbone=backbone)], tmp_path)


DSEE = [
    # method, backbone,               what the adapter has
    ("dsee_update", "tiny-bert", "low rank and entries"),
    ("dsee", "tiny-bert", "and pruned weights under it"),
    ("dsee_masked", "tiny-bert", "and a mask on itself"),
    ("dsee", "tiny-gpt2", "blocks of rows"),
    ("dsee_masked", "tiny-gpt2", "blocks of rows with a mask"),
    ("dsee_update", "tiny-deberta", "a block for each part of each head"),
]


def test_dsee_needs_an_import(finished, tmp_path):
    check([finished(method, backbone=backbone) for method, backbone, _ in DSEE], tmp_path, "import dsee_bench")


def test_dsee_without_the_import_says_what_is_missing(finished, tmp_path):
    job = job_of(finished("dsee_update"), tmp_path)
    with pytest.raises(AssertionError, match="KeyError: 'DSEE, which PEFT knows after `import dsee_bench`'"):
        by_peft([job], tmp_path)


COMMIT = "0123456789abcdef0123456789abcdef01234567"
AUTO = [
    # method, overrides,                        backbone,     PEFT's class
    ("lora_omp", (), "tiny-bert", "AutoPeftModelForSequenceClassification"),
    ("lora", ("task=toy_d2t", "train=demo_nlg"), "tiny-llama", "AutoPeftModelForCausalLM"),
]


def test_peft_finds_the_checkpoint_on_the_hub(finished, tmp_path):
    """The hub's cache has it; the commit is the one that the run began with."""
    jobs, expected = [], []
    for method, overrides, backbone, cls in AUTO:
        run = finished(method, *overrides, backbone=backbone)
        job = job_of(run, tmp_path / backbone, hub=f"owner/{backbone}", revision=COMMIT)
        shutil.copytree(job["base"], tmp_path / "hub" / f"models--owner--{backbone}" / "snapshots" / COMMIT)
        jobs.append(job | {"base": None, "cls": cls})
        expected.append(logits(run[1].model, run[1].setup.tokenizer))
    for got, wanted in zip(by_peft(jobs, tmp_path, HF_HUB_CACHE=str(tmp_path / "hub")), expected, strict=True):
        torch.testing.assert_close(got, wanted, **CLOSE)


NOT_PEFTS = [
    # method,             backbone,       storage,     why plain PEFT would be wrong
    ("dsee_structured", "tiny-bert", "dense", "heads or neurons are removed"),
    ("lora_omp", "tiny-bert", "bitmask", "the weights are stored as bitmask"),
    ("peft/supertuning", "tiny-gpt2", "dense", "SUPERTUNING on a part of .* has no form on the whole weight"),
]


@pytest.mark.parametrize(("method", "backbone", "storage", "why"), NOT_PEFTS)
def test_an_adapter_that_peft_would_load_wrongly_is_not_found_by_it(
    method, backbone, storage, why, finished, tmp_path, capsys
):
    run = finished(method, backbone=backbone)
    fill(run[1])
    with console.printing():
        write(run, tmp_path / "out", folding="apart", storage=storage)
    assert re.search(f"for dsee_bench.load alone, not for plain PEFT: {why}", capsys.readouterr().err)
    with pytest.raises(ValueError, match=r"Can't find 'adapter_config\.json'"):
        PeftModel.from_pretrained(run[1].fresh(), tmp_path / "out")
    expected = logits(run[1].model, run[1].setup.tokenizer)
    torch.testing.assert_close(logits(dsee_bench.load(tmp_path / "out"), run[1].setup.tokenizer), expected, **CLOSE)


def test_the_model_under_the_adapter_is_in_the_folder(finished, tmp_path):
    """A checkpoint that is not on the hub: base/ stands in for it, and no file says where it was."""
    run = finished("lora_omp")
    fill(run[1])
    write(run, tmp_path / "out", folding="apart")
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / "base")
    model = PeftModel.from_pretrained(base, tmp_path / "out")
    expected = logits(run[1].model, run[1].setup.tokenizer)
    torch.testing.assert_close(logits(model, run[1].setup.tokenizer), expected, **CLOSE)
    written = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "the folder base/ beside this file; tiny-bert is not on the hub"
    assert written["revision"] is None
    with pytest.raises(OSError, match="the folder base/ beside this file"):
        AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "out")


def test_an_export_may_be_moved(finished, tmp_path):
    run = finished("dsee_update")
    write(run, tmp_path / "out", folding="apart")
    expected = logits(run[1].model, run[1].setup.tokenizer)
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    torch.testing.assert_close(
        logits(dsee_bench.load(tmp_path / "elsewhere"), run[1].setup.tokenizer), expected, **CLOSE
    )
    everything = b"".join(path.read_bytes() for path in (tmp_path / "elsewhere").rglob("*.json"))
    assert str(tmp_path).encode() not in everything
