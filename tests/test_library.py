"""The public library on one's own models: hand-worked counts, zeros that hold, heads and neurons that are gone."""

import copy

import pytest
import torch
from omegaconf import OmegaConf
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaConfig,
    DebertaForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5Model,
)

import dsee_bench
from dsee_bench import DseeConfig, config
from dsee_bench.config import validate
from dsee_bench.models.fused import split

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 4, "vocab_size": 700, "bos_token_id": 0, "eos_token_id": 0}
POSITIONS = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
MODELS = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**SIZES)),
    "bare": lambda: BertModel(BertConfig(**SIZES)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, vocab_size=700, num_key_value_heads=2)),
    "deberta": lambda: DebertaForSequenceClassification(DebertaConfig(**SIZES, **POSITIONS, type_vocab_size=0)),
}


@pytest.fixture
def bert():
    """Hidden 8, 2 heads, 16 neurons, one layer, 10 words, 12 positions, 2 types, 3 labels."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    numbers = BertConfig(**sizes, vocab_size=10, max_position_embeddings=12, num_labels=3)
    return BertForSequenceClassification(numbers).eval()


def made(name):
    torch.manual_seed(0)
    return MODELS[name]().eval()


def ids(rows=2, tokens=7):
    return torch.randint(0, 700, (rows, tokens), generator=torch.Generator().manual_seed(0))


def output(model):
    return model(ids())[0]


def test_counts_by_hand(bert):
    """Embeddings 24 x 8 = 192; norms 3 x 16; q, k, v, out 4 x (64 + 8); FFN 144 + 136; pooler 72; head 27.

    FLOPs of 5 tokens: 2 x 5 x (4 x 64 + 2 x 128) + the pooler's 2 x 64 + attention 4 x 25 x 8.
    """
    found = dsee_bench.count(bert, tokens=5)
    assert found.total == found.nnz == found.trainable == 192 + 48 + 288 + 280 + 72 + 27 == 907
    assert found.flops == 5120 + 128 + 800
    assert found.adapter == 0


def test_counts_with_an_adapter(bert):
    """R (O + I) + K = 2 x 16 + 3 on query and value; LoRA has no K. Merged into a dense weight they cost nothing."""
    settings = DseeConfig(r=2, num_entries=3, positions="random", target_modules=["query", "value"])
    found = dsee_bench.count(get_peft_model(copy.deepcopy(bert), settings), tokens=5)
    assert (found.total, found.trainable, found.adapter, found.flops) == (907 + 70, 70, 70, 6048)
    lora = get_peft_model(bert, LoraConfig(r=2, target_modules=["query", "value"]))
    assert dsee_bench.count(lora, tokens=5).adapter == 64


@pytest.mark.parametrize("name", MODELS)
def test_flops_are_those_that_torch_counts(name):
    """Of the model below its head, but for a language model's unembedding; DeBERTa's attention is by its formula."""
    model = made(name).requires_grad_(False)
    model.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.ones(1, 64, dtype=torch.long))
    head = 0 if name in ("bare", "gpt2", "llama") else {"bert": 2 * 16 * 2, "deberta": 2 * (16 * 16 + 16 * 2)}[name]
    assert dsee_bench.count(model, tokens=64).flops == counter.get_total_flops() - head


@pytest.mark.parametrize("name", ["gpt2", "deberta"])
def test_a_fused_weight_counts_as_its_parts(name):
    whole, parts = made(name), made(name)
    split(parts)
    assert dsee_bench.count(whole) == dsee_bench.count(parts)


def test_masks_by_hand(bert):
    """The smaller half of each weight's entries is zero, and the masks say where."""
    before = {name: value.clone() for name, value in bert.named_parameters()}
    masks = dsee_bench.prune_(bert, 0.5, scope="weight")
    assert len(masks) == 7
    for name, mask in masks.items():
        expected = before[name].abs() > before[name].abs().flatten().sort().values[before[name].numel() // 2 - 1]
        assert torch.equal(mask, expected)
        assert torch.equal(bert.get_parameter(name), before[name] * mask)
    found = dsee_bench.count(bert, tokens=5)
    assert (found.total, found.nnz, found.trainable) == (907, 907 - 576 // 2, 907 - 576 // 2)
    assert found.flops == 2560 + 64 + 800


@pytest.mark.parametrize("name", MODELS)
def test_zeros_hold_while_it_trains(name):
    model = made(name)
    masks = dsee_bench.prune_(model, 0.6)
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.6 * sum(map(torch.numel, masks.values())))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    before = {key: model.get_parameter(key).detach().clone() for key in masks}
    for _ in range(3):
        optimizer.zero_grad()
        output(model).square().sum().backward()
        optimizer.step()
    for key, mask in masks.items():
        assert not model.get_parameter(key)[~mask].any()
    assert any((model.get_parameter(key) != before[key])[mask].any() for key, mask in masks.items())


def test_a_second_pruning_keeps_the_first_zeros(bert):
    first = dsee_bench.prune_(bert, 0.3)
    second = dsee_bench.prune_(bert, 0.6)
    assert all((~second[name])[~mask].all() for name, mask in first.items())
    assert sum(int((~mask).sum()) for mask in second.values()) == round(0.6 * 576)


def test_a_score_that_reads_batches(bert):
    """Wanda: |W| times the root mean square of the input; an input that is always zero costs nothing to lose."""
    with torch.no_grad():
        bert.bert.embeddings.LayerNorm.weight[0] = bert.bert.embeddings.LayerNorm.bias[0] = 0
    batch = {"input_ids": ids() % 10, "attention_mask": torch.ones(2, 7), "labels": torch.tensor([0, 2])}
    masks = dsee_bench.prune_(bert, 1 / 8, score="wanda", scope="row", kinds=["query"], batches=[batch])
    (mask,) = masks.values()
    assert mask.tolist() == [[False] + [True] * 7] * 8
    with pytest.raises(ValueError, match=r"reads data; pass a few batches with labels, as batches=\[...\]"):
        dsee_bench.prune_(bert, 0.5, score="gradient")


def test_a_masked_adapter_is_merged_without_filling_zeros(bert):
    settings = DseeConfig(r=2, num_entries=3, positions="random", target_modules=["query", "value"])
    tuned = get_peft_model(bert, settings)
    for name, value in tuned.named_parameters():
        if "dsee_" in name:
            torch.nn.init.normal_(value)
    masks = dsee_bench.prune_(tuned, 0.5, score="update", kinds=["query", "value"], mask_adapter=True)
    assert all(name.endswith("base_layer.weight") for name in masks)
    merged = tuned.merge_and_unload()
    for name, mask in masks.items():
        weight = merged.get_parameter(name.removeprefix("base_model.model.").replace("base_layer.", ""))
        assert torch.equal(weight == 0, ~mask)


@pytest.mark.parametrize("name", MODELS)
def test_narrowed_is_as_if_heads_and_neurons_were_zero(name):
    """Their columns of the weights out are zeroed in a copy, by transformers' own names; the outputs are the same."""
    out, ffn_out = {
        "bert": ("attention.output.dense", "output.dense"), "bare": ("attention.output.dense", "output.dense"),
        "deberta": ("attention.output.dense", "output.dense"), "gpt2": ("attn.c_proj", "mlp.c_proj"),
        "llama": ("self_attn.o_proj", "mlp.down_proj"),
    }[name]  # fmt: skip
    model, masked = made(name).double(), made(name).double()
    trains = {key: value.requires_grad for key, value in model.named_parameters()}
    heads, neurons = dsee_bench.narrow_(model, heads=0.5, ffn=0.25)
    assert [len(kept) for kept in (*heads, *neurons)] == [2 if name != "llama" else 1] * 2 + [
        24 if name != "gpt2" else 48
    ] * 2
    size = 8 if name == "llama" else 4  # two query heads of four features share a key
    for path, module in masked.named_modules():
        kept = [part for part in path.split(".") if part.isdigit()]
        if not kept or not path.endswith((out, ffn_out)):
            continue
        layer, attention = int(kept[0]), path.endswith(out)
        columns = module.weight if name == "gpt2" else module.weight.T  # rows are inputs
        stays = torch.zeros(columns.shape[0], dtype=torch.bool)
        chosen = [head * size + f for head in heads[layer] for f in range(size)] if attention else neurons[layer]
        stays[chosen] = True
        columns.data[~stays] = 0
    torch.testing.assert_close(output(model), output(masked), rtol=0, atol=1e-10)
    assert {key: value.requires_grad for key, value in model.named_parameters()} == trains


def test_narrowed_counts_by_hand(bert):
    """One head of 4 features and 12 neurons: q, k, v 3 x 36, out 40, FFN 108 + 104, two norms of 16."""
    dsee_bench.narrow_(bert, heads=0.5, ffn=0.25)
    found = dsee_bench.count(bert, tokens=5)
    assert found.total == 907 - 600 + 108 + 40 + 212 + 32
    assert found.flops == 2 * 5 * (4 * 32 + 2 * 96) + 128 + 4 * 25 * 4


def test_adapters_are_narrowed_along_and_the_rest_stays_frozen():
    tuned = get_peft_model(made("bert"), DseeConfig(r=2, num_entries=0, target_modules=["query", "value"]))
    dsee_bench.narrow_(tuned, heads=0.5)
    found = dsee_bench.count(tuned)
    assert found.adapter == found.trainable == 4 * 2 * (8 + 16)
    gpt2 = get_peft_model(made("gpt2"), LoraConfig(r=2, target_modules=["c_fc"]))
    dsee_bench.narrow_(gpt2, heads=0.5)
    assert dsee_bench.count(gpt2).trainable == dsee_bench.count(gpt2).adapter == 2 * 2 * (16 + 64)


@pytest.mark.parametrize("name", [name for name in config.options("backbone") if name.startswith("tiny-")])
def test_every_family_is_counted_narrowed_saved_and_loaded(name, tmp_path):
    """Made by transformers from its configuration alone; the total is that of the family's table."""
    node = OmegaConf.to_container(OmegaConf.load(config.CONF / "backbone" / f"{name}.yaml"))
    backbone = validate.build(node, "backbone")
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    settings = AutoConfig.for_model(backbone.model_type, num_labels=2, **tokens, **backbone.config_settings())
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(settings).eval()
    assert dsee_bench.count(model).total == backbone.spec(2).total
    if backbone.shared_layers:
        with pytest.raises(ValueError, match="share one layer's weights"):
            dsee_bench.narrow_(model, heads=0.5)
    else:
        dsee_bench.narrow_(model, heads=0.5, ffn=0.5)
    dsee_bench.prune_(model, 0.5)
    dsee_bench.save(model, tmp_path / "out", storage="bitmask")
    again = dsee_bench.load(tmp_path / "out")
    batch = ids() % 60 + 3
    assert torch.equal(again(batch).logits, model(batch).logits)
    assert dsee_bench.count(again) == dsee_bench.count(model)
    for number, narrowed in enumerate(() if backbone.shared_layers else (model, again)):
        narrowed.save_pretrained(tmp_path / str(number))
        assert torch.equal(dsee_bench.load(tmp_path / str(number))(batch).logits, model(batch).logits)
        with pytest.raises(ValueError, match=r"load it with dsee_bench\.load"):
            AutoModelForSequenceClassification.from_pretrained(tmp_path / str(number))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("storage", ["dense", "bitmask"])
def test_a_language_model_is_saved_and_loaded(name, storage, tmp_path):
    model = made(name)
    dsee_bench.narrow_(model, heads=0.5, ffn=0.25)
    dsee_bench.prune_(model, 0.5)
    dsee_bench.save(model, tmp_path / "out", storage=storage)
    assert torch.equal(output(dsee_bench.load(tmp_path / "out")), output(model))
    dsee_bench.load(tmp_path / "out").save_pretrained(tmp_path / "saved")
    assert torch.equal(output(dsee_bench.load(tmp_path / "saved")), output(model))


def test_saved_with_its_adapter_merged(tmp_path):
    tuned = get_peft_model(made("gpt2"), LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False)).eval()
    dsee_bench.save(tuned, tmp_path / "out")
    torch.testing.assert_close(output(dsee_bench.load(tmp_path / "out")), output(tuned))
    assert dsee_bench.count(tuned).adapter == 2 * 2 * (48 + 16), "the model given is as it was"


REFUSED = [
    (
        lambda: dsee_bench.count(T5Model(T5Config(d_model=8, d_ff=8, num_layers=1, num_heads=1))),
        "type t5; there is",
    ),
    (lambda: dsee_bench.prune_(made("bert"), 1.0), r"sparsity must lie in \[0, 1\), got 1.0"),
    (lambda: dsee_bench.prune_(made("bert"), 0.3, scope="2:4"), "set sparsity=0.5"),
    (lambda: dsee_bench.prune_(made("bert"), 0.3, scope="layer"), "unknown scope 'layer'; there is model, weight"),
    (lambda: dsee_bench.prune_(made("bert"), 0.3, score="update"), "ranks by the adapter, but there is none"),
    (lambda: dsee_bench.prune_(made("bert"), 0.3, score="size"), "unknown score 'size'; there is W"),
    (lambda: dsee_bench.prune_(made("bert"), 0.3, kinds=["head"]), "no site of kind head; this backbone has"),
    (lambda: dsee_bench.narrow_(made("bert")), "remove nothing"),
    (lambda: dsee_bench.narrow_(made("bert"), heads=1.0), r"heads must lie in \[0, 1\), got 1.0"),
    (lambda: dsee_bench.narrow_(made("bert"), heads=0.9), "one must stay in each layer"),
    (
        lambda: dsee_bench.narrow_(get_peft_model(made("gpt2"), LoraConfig(target_modules=["c_attn"])), heads=0.5),
        r"c_attn holds several weights in one, with an adapter on it; merge",
    ),
    (lambda: dsee_bench.save(made("bare"), "out"), "can be saved, not BertModel"),
]


@pytest.mark.parametrize(("ask", "message"), REFUSED)
def test_what_is_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask()
