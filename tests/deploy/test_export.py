"""A model written to a folder and read back: equal outputs for every method and storage."""

import copy
import json
import logging
import os
import pickle

import pytest
import torch
import transformers
from finished_runs import QUICK, FinishedRuns, logits, write
from omegaconf import OmegaConf
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
)

import dsee_bench
from dsee_bench import config
from dsee_bench.deploy import manifest
from dsee_bench.deploy.export import _put
from dsee_bench.deploy.manifest import check_target
from dsee_bench.runs import predict, sweep

METHODS = config.options("method")
ON_TINY = {"dsee_authors": ["method.stages.sparse.placement=decomposition"]}  # the authors' constants need 496 rows
# Outputs are taken in float64, files hold float32: of a merged weight each entry is rounded by 2^-24 of its parts.
# A row of 64 entries below 1 and inputs below 4 makes 64 x 4 x 2^-24 = 2e-5 at the very most, 1e-6 where signs differ.
CLOSE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return FinishedRuns(tmp_path_factory.mktemp("runs"))


# They choose entries and masks in another way than a quick method, which is nothing to an export.
ALIKE = {
    *("dsee_random", "dsee_magnitude", "dsee_authors", "dsee_gradual", "dsee_structured_40"),
    *("gmp", "imp", "wanda", "gradient", "full_twice"),
}


@pytest.mark.parametrize("method", [pytest.param(m, marks=[pytest.mark.slow] * (m in ALIKE)) for m in METHODS])
def test_every_method_comes_back_with_its_update_merged_and_apart(method, finished, tmp_path):
    run = finished(method, *ON_TINY.get(method, ()))
    before = logits(run[1].model, run[1].setup.tokenizer)
    for form in ("merged", "apart"):
        described = write(run, tmp_path / form, folding=form)
        assert described.adapter == ("none" if run[1].adapters is None else form)
        loaded = dsee_bench.load(tmp_path / form)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path / form)
        torch.testing.assert_close(logits(loaded, tokenizer), before, **CLOSE)
    torch.testing.assert_close(
        logits(run[1].model, run[1].setup.tokenizer), before, rtol=0, atol=0
    )  # the run's own is as before


def test_adalora_comes_back_after_ranks_were_taken_from_it(finished, tmp_path):
    """Ten steps: PEFT then notes which ranks are left. The weights kept may be of a step that had more."""
    run = finished("peft/adalora", "train.epochs=10")
    assert run[1].adapters.peft_config["default"].rank_pattern
    with torch.no_grad():
        for name, value in run[1].model.named_parameters():
            if "lora_" in name:  # no rank is zero, as at an earlier step
                value.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    write(run, tmp_path / "apart", folding="apart")
    before = logits(run[1].model, run[1].setup.tokenizer)
    torch.testing.assert_close(logits(dsee_bench.load(tmp_path / "apart"), run[1].setup.tokenizer), before, **CLOSE)


@pytest.mark.parametrize("method", ["dsee", "dsee_structured"])
def test_a_pooler_that_is_part_of_the_head_comes_back_tuned(method, finished, tmp_path):
    run = finished(method, "backbone.new_pooler=true")
    before = logits(run[1].model, run[1].setup.tokenizer)
    for form in ("merged", "apart"):
        write(run, tmp_path / form, folding=form)
        torch.testing.assert_close(logits(dsee_bench.load(tmp_path / form), run[1].setup.tokenizer), before, **CLOSE)


QUICK_ONES = ("tiny-bert", "tiny-gpt2")
TINY = [name for name in config.options("backbone") if name.startswith("tiny-")]
NARROWED = [
    # method, and its settings: parts removed,                                           what else is there
    ("dsee_structured", "low_rank.rank=4", "an adapter"),
    ("earlybert", "search.epochs=1", "coefficients, folded"),
]


@pytest.mark.parametrize(
    ("method", "setting", "what", "backbone"),
    [
        # One Linear and one Conv1D are quick.
        pytest.param(*row, name, marks=[pytest.mark.slow] * (name not in QUICK_ONES))
        for row in NARROWED
        for name in TINY
        if name != "tiny-albert"  # its layers share their weights
    ],
)
def test_every_family_comes_back_narrowed(backbone, method, setting, what, finished, tmp_path):
    run = finished(method, f"method.stages.{setting}", backbone=backbone)
    before = logits(run[1].model, run[1].setup.tokenizer)
    for form in ("merged", "apart"):
        described = write(run, tmp_path / form, folding=form, storage="bitmask")
        assert described.narrowed, what
        loaded = dsee_bench.load(tmp_path / form)
        torch.testing.assert_close(logits(loaded, run[1].setup.tokenizer), before, **CLOSE)
    write(run, tmp_path / "dense")
    loaded = dsee_bench.load(tmp_path / "dense")
    saved_and_loaded(loaded, tmp_path / "again")
    torch.testing.assert_close(logits(dsee_bench.load(tmp_path / "again"), run[1].setup.tokenizer), before, **CLOSE)


def saved_and_loaded(model, folder):
    """Save a narrowed model as transformers does, and see that transformers does not read it."""
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match=r"load it with dsee_bench\.load\(folder\)"):
        AutoModel.from_pretrained(folder)
    return dsee_bench.load(folder)


def test_a_narrowed_model_is_saved_as_often_as_one_likes(finished, tmp_path):
    """In shards, as a copy, after training went on, and with an adapter merged: all that a user does to a model."""
    run = finished("dsee_structured")
    tokenizer = run[1].setup.tokenizer
    write(run, tmp_path / "out")
    loaded = dsee_bench.load(tmp_path / "out")
    expected = logits(loaded, tokenizer)
    again = saved_and_loaded(copy.deepcopy(loaded), tmp_path / "copy")
    assert torch.equal(logits(again, tokenizer), expected)
    assert list(again.config.id2label.values()) == list(run[0].task.labels)
    again.save_pretrained(tmp_path / "shards", max_shard_size="50KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(dsee_bench.load(tmp_path / "shards"), tokenizer), expected)
    adapted = get_peft_model(
        pickle.loads(pickle.dumps(again)), LoraConfig(target_modules=["query"], init_lora_weights=False)
    )
    merged = adapted.merge_and_unload()
    assert not torch.equal(logits(merged, tokenizer), expected)
    assert torch.equal(logits(saved_and_loaded(merged, tmp_path / "merged"), tokenizer), logits(merged, tokenizer))


def test_an_adapter_that_lies_apart_is_merged_to_save_the_loaded_model(finished, tmp_path):
    run = finished("dsee_structured")
    write(run, tmp_path / "out", folding="apart")
    loaded = dsee_bench.load(tmp_path / "out")
    loaded.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"has an adapter on .*; dsee_bench\.save\(model, DIR\) merges"):
        dsee_bench.load(tmp_path / "saved")
    dsee_bench.save(loaded, tmp_path / "merged")
    tokenizer = run[1].setup.tokenizer
    before = logits(run[1].model, tokenizer)
    torch.testing.assert_close(logits(dsee_bench.load(tmp_path / "merged"), tokenizer), before, **CLOSE)
    torch.testing.assert_close(logits(loaded, tokenizer), before, **CLOSE)  # it is as it was


def test_transformers_own_unequal_layers_do_not_serve():
    """`per_layer_config` of transformers 5.23: no family here reads it. Once one does, exports may use it."""
    unequal = BertConfig(num_hidden_layers=2, per_layer_config={0: {"intermediate_size": 8}})
    with pytest.raises(RuntimeError, match="is a per-layer attribute"):
        BertForSequenceClassification(unequal)


def test_a_masked_update_is_narrowed_and_comes_back(finished, tmp_path):
    """dsee_masked, and heads and neurons removed after it: the masks of the adapter lose the same rows and columns."""
    settings = OmegaConf.to_container(OmegaConf.load(config.CONF / "stage" / "narrow.yaml"))
    narrow = "+method.stages.narrow={" + ", ".join(f"{k}: {json.dumps(v)}" for k, v in settings.items()) + "}"
    run = finished("dsee_masked", narrow)
    before = logits(run[1].model, run[1].setup.tokenizer)
    for form in ("merged", "apart"):
        write(run, tmp_path / form, folding=form)
        torch.testing.assert_close(logits(dsee_bench.load(tmp_path / form), run[1].setup.tokenizer), before, **CLOSE)


def test_a_merged_model_loads_with_plain_transformers(finished, tmp_path):
    run = finished("dsee")
    write(run, tmp_path / "out")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    tokenizer = run[1].setup.tokenizer
    assert torch.equal(logits(plain, tokenizer), logits(dsee_bench.load(tmp_path / "out"), tokenizer))
    assert list(plain.config.id2label.values()) == list(run[0].task.labels)


FOR_LOAD_ALONE = [
    # method,            export,                                        why transformers cannot read it
    ("dsee_structured", {"folding": "merged"}, "layers of other widths"),
    ("dsee_structured", {"folding": "apart"}, "and an adapter on them"),
    ("dsee", {"folding": "merged", "storage": "bitmask"}, "weights in parts"),
    ("dsee", {"folding": "apart", "storage": "csr"}, "and an adapter on them"),
]


@pytest.mark.parametrize(("method", "asked", "why"), FOR_LOAD_ALONE)
def test_plain_transformers_names_the_loader_of_what_it_cannot_read(method, asked, why, finished, tmp_path):
    run = finished(method)
    write(run, tmp_path / "out", **asked)
    for cls in (AutoModel, AutoModelForSequenceClassification):
        with pytest.raises(ValueError, match=r"load it with dsee_bench\.load\(folder\)"):
            cls.from_pretrained(tmp_path / "out")
    with pytest.raises((OSError, RuntimeError)):
        BertForSequenceClassification.from_pretrained(tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("ein Test") == run[1].setup.tokenizer("ein Test"), why


def test_predict_is_told_nothing_of_a_form_that_it_reads(finished, tmp_path):
    write(finished("dsee_structured"), tmp_path / "out")
    messages = []
    handler = logging.Handler()
    handler.emit = messages.append
    transformers.utils.logging.add_handler(handler)
    try:
        assert predict.exported(tmp_path / "out", "cpu").setup.tokenizer("a").input_ids
    finally:
        transformers.utils.logging.remove_handler(handler)
    assert not messages


def test_plain_transformers_does_not_give_half_a_model(finished, tmp_path):
    write(finished("dsee"), tmp_path / "out", folding="apart")
    with pytest.raises(OSError, match="folder base/ beside this file"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")


AUTO = [
    # method,       folded,   why
    ("dsee_update", "merged", "nothing is masked, so nothing is filled"),
    ("lora_omp", "apart", "merging would fill the zeros"),
]


@pytest.mark.parametrize(("method", "folded", "why"), AUTO)
def test_auto_merges_where_no_zero_is_filled(method, folded, why, finished, tmp_path):
    assert write(finished(method), tmp_path / "out", folding="auto").adapter == folded, why


@pytest.mark.parametrize("storage", ["bitmask", "csr"])
def test_compressed_is_smaller_and_equal_to_the_last_bit(storage, finished, tmp_path):
    run = finished("omp", "method.stages.prune.sparsity=0.7")
    dense = write(run, tmp_path / "dense")
    packed = write(run, tmp_path / "packed", storage=storage)
    assert packed.files[packed.weights]["bytes"] < dense.files[dense.weights]["bytes"]
    assert len(packed.compressed) == len(run[1].spec.weights)
    one, other = dsee_bench.load(tmp_path / "dense"), dsee_bench.load(tmp_path / "packed")
    for (name, value), again in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(value, again), name


def test_a_weight_that_would_grow_is_stored_plain(finished, tmp_path):
    packed = write(finished("full"), tmp_path / "out", storage="csr")
    assert packed.compressed == ()


def test_the_manifest_counts_what_is_in_the_file(finished, tmp_path):
    run = finished("omp", "method.stages.prune.sparsity=0.7")
    described = write(run, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    weights = described.spec.weights
    assert len(weights) == 13  # 6 in each of two layers, and the pooler
    for weight in weights:
        tensor = tensors[f"{weight.site.path}.weight"]
        assert (weight.outputs, weight.inputs) == tensor.shape
        assert weight.nnz == int(tensor.count_nonzero())
    assert [weight.nnz for weight in weights] == [weight.nnz for weight in run[1].spec.weights]
    assert described.spec.attention == (4, 4)


def test_a_narrowed_model_is_rebuilt(finished, tmp_path):
    """Head 1 of 4 and half of the neurons taken out of layer 0 by hand, as any narrowing stage would leave it."""
    from dataclasses import replace

    settings, state = finished("full")
    model = copy.deepcopy(state.model)
    layer, size = model.bert.encoder.layer[0], 8
    rows = torch.cat([torch.arange(size), torch.arange(2 * size, 4 * size)])
    attention = layer.attention.self
    for linear in (attention.query, attention.key, attention.value):
        _narrow(linear, rows=rows)
    attention.num_attention_heads, attention.all_head_size = 3, 3 * size
    _narrow(layer.attention.output.dense, columns=rows)
    _narrow(layer.intermediate.dense, rows=torch.arange(32))
    _narrow(layer.output.dense, columns=torch.arange(32))
    shapes = {w.site: model.get_submodule(w.site.path).weight.shape for w in state.spec.weights}
    weights = tuple(replace(w, outputs=shapes[w.site][0], inputs=shapes[w.site][1]) for w in state.spec.weights)
    narrow = replace(state, model=model, spec=replace(state.spec, weights=weights, attention=(3, 4)))
    described = write((settings, narrow), tmp_path / "out")
    assert described.narrowed
    loaded = dsee_bench.load(tmp_path / "out")
    attention = loaded.bert.encoder.layer[0].attention.self
    assert (attention.num_attention_heads, attention.all_head_size) == (3, 24)
    assert torch.equal(logits(loaded, state.setup.tokenizer), logits(model, state.setup.tokenizer))
    assert loaded.bert.encoder.layer[0].intermediate.dense.out_features == 32


def _narrow(linear, rows=None, columns=None):
    weight = linear.weight.data
    if rows is not None:
        weight, linear.out_features = weight[rows], len(rows)
        linear.bias = torch.nn.Parameter(linear.bias.data[rows])
    if columns is not None:
        weight, linear.in_features = weight[:, columns], len(columns)
    linear.weight = torch.nn.Parameter(weight.contiguous())


def test_nothing_is_lost_where_the_folder_is_taken(finished, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(ValueError, match="holds other files"):
            write(finished("dsee"), mine, force=force)
    assert [path.name for path in mine.iterdir()] == ["thesis.tex"]
    write(finished("dsee"), tmp_path / "out")
    with pytest.raises(ValueError, match="holds an exported model; give another folder, or force=true"):
        check_target(tmp_path / "out", force=False)


def test_an_export_is_replaced_under_force_and_an_empty_folder_is_used(finished, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    write(finished("dsee"), folder, folding="apart")
    write(finished("dsee"), folder, force=True)
    assert manifest.read(folder).adapter == "merged"
    assert not (folder / "adapter").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # no leavings


def test_the_command_exports_also_a_run_that_is_done(tmp_path):
    from dsee_bench.cli.bench import run
    from dsee_bench.config import ConfigError

    def go(*more):
        asked = [*QUICK, "method=dsee_update", "backbone=tiny-bert", f"results_dir={tmp_path}", *more]
        return run(sweep.resolved(asked), asked)

    assert go() == 0
    (record,) = (tmp_path / "runs").glob("*.json")
    before = record.read_bytes()
    assert go(f"export={tmp_path}/out", "export_adapter=apart") == 0
    assert record.read_bytes() == before
    assert dsee_bench.load(tmp_path / "out").config.num_labels == 2
    assert go(f"export={tmp_path}/out") == 0, "the same run's export is replaced, as after a stop"
    assert manifest.read(tmp_path / "out").adapter == "merged"
    with pytest.raises(ConfigError, match=r"holds the exported model of toy_pairs-tiny-bert-dsee_update-s0-\w+; give"):
        go(f"export={tmp_path}/out", "seed=1")
    assert len(list((tmp_path / "runs").glob("*.json"))) == 1  # refused before anything ran


PLACES = [
    # what lies where the model is to go,                                 as the error calls it
    (os.mkfifo, "is a named pipe"),
    (lambda path: path.symlink_to(path.parent / "nowhere"), "is a symbolic link"),
    (lambda path: path.symlink_to(path.parent), "is a symbolic link"),
    (lambda path: path.write_text("x"), "is a file"),
]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("make", "message"), PLACES)
def test_what_is_no_folder_is_never_replaced(make, message, force, tmp_path):
    make(tmp_path / "out")
    before = (tmp_path / "out").lstat()
    with pytest.raises(ValueError, match=message):
        check_target(tmp_path / "out", force)
    made = tmp_path / "made"
    made.mkdir()
    with pytest.raises(ValueError, match="cannot be put in place"):  # as if it came while the model was written
        _put(made, tmp_path / "out", lambda old: check_target(old, force))
    assert (tmp_path / "out").lstat() == before


@pytest.mark.parametrize("force", [False, True])
def test_files_that_came_meanwhile_are_put_back(force, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(ValueError, match="holds other files"):
        _put(tmp_path / "made", tmp_path / "out", lambda old: check_target(old, force))
    assert (tmp_path / "out" / "mine").read_text() == "x"


def test_a_file_beside_an_export_is_not_lost(finished, tmp_path):
    write(finished("full"), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds notes\.txt, which is not of the exported model; move it away"):
        write(finished("full"), tmp_path / "out", force=True)
    (tmp_path / "out" / "notes.txt").unlink()
    write(finished("full"), tmp_path / "out", force=True)
