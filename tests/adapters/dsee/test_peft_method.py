"""All that PEFT does with a method: save, load, merge, switch off, switch adapters, Trainer, generate."""

import copy

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict, inject_adapter_in_model
from peft.utils import set_peft_model_state_dict
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.pytorch_utils import Conv1D

from dsee_bench.adapters.dsee import DseeConfig, DseeLayer, layer

# In float64, whose sums of a few hundred terms round by less than 1e-13 in any order.
SAME = {"rtol": 0, "atol": 1e-12}
QUERY_VALUE = {"target_modules": ["query", "value"], "modules_to_save": ["classifier"]}
C_ATTN = {"target_modules": ["c_attn"], "row_blocks": {"c_attn": [[0, 16], [32, 48]]}}


def with_update(model, settings):
    """`model` with an adapter that has been trained (in effect): nothing in it is zero."""
    tuned = get_peft_model(model, DseeConfig(r=2, lora_alpha=6, num_entries=8, **settings))
    generator = torch.Generator().manual_seed(0)
    for parameter in tuned.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(std=0.1, generator=generator)
    return tuned


@pytest.fixture(params=["bert", "gpt2"])
def pair(request, tiny_bert, tiny_gpt2):
    """A model as it came, and the same with an adapter."""
    model, settings = {"bert": (tiny_bert, QUERY_VALUE), "gpt2": (tiny_gpt2, C_ATTN)}[request.param]
    return copy.deepcopy(model), with_update(model, settings)


def layers(model):
    found = [module for module in model.modules() if isinstance(module, DseeLayer)]
    assert found
    return found


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
def test_save_and_load(pair, ids, tmp_path, monkeypatch, low_cpu_mem_usage):
    """Bit-equal, with module sizes that differ, and without choosing the positions again: W may have been pruned."""
    plain, tuned = pair
    layers(tuned)[0].set_positions("default", [torch.tensor([5, 2])] * len(layers(tuned)[0].blocks["default"]))
    layers(tuned)[0].dsee_s2["default"].data.fill_(0.3)
    before = tuned(ids).logits
    tuned.save_pretrained(tmp_path)
    assert tuned.peft_config["default"].positions == "decomposition", "saving changes nothing"

    monkeypatch.setattr(layer, "place", lambda *_, **__: pytest.fail("positions were chosen again"))
    loaded = PeftModel.from_pretrained(plain, tmp_path, low_cpu_mem_usage=low_cpu_mem_usage).eval()
    assert torch.equal(loaded(ids).logits, before)
    assert not [name for name, weight in loaded.named_parameters() if weight.requires_grad]
    assert isinstance(PeftConfig.from_pretrained(tmp_path), DseeConfig)
    kept = {module.name: module.num_entries("default") for module in layers(loaded)}
    assert kept == loaded.peft_config["default"].num_entries == tuned.peft_config["default"].num_entries
    assert len(set(kept.values())) == 2


def test_what_was_loaded_trains_on(pair, ids, tmp_path, train):
    plain, tuned = pair
    tuned.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(plain, tmp_path, is_trainable=True)
    train(tuned.eval(), 3)
    train(loaded.eval(), 3)
    assert torch.equal(loaded(ids).logits, tuned(ids).logits)


def test_a_fresh_update_survives_from_pretrained(tiny_bert, ids, tmp_path):
    """Science, section 8: from_pretrained must not fill U and S2 by a generic rule, or the adapter is not zero."""
    plain, before = copy.deepcopy(tiny_bert), tiny_bert(ids).logits
    get_peft_model(tiny_bert, DseeConfig(r=2, num_entries=8, **QUERY_VALUE)).save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(plain, tmp_path).eval()
    assert torch.equal(loaded(ids).logits, before)
    for module in layers(loaded):
        assert module.dsee_v["default"].abs().min() > 0
        assert module.num_entries("default") == 8


def test_positions_that_never_came_are_no_positions(tiny_bert, ids):
    tuned = get_peft_model(tiny_bert, DseeConfig(num_entries=8, positions="stored", **QUERY_VALUE))
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        tuned(ids)


@pytest.mark.parametrize("safe_merge", [False, True])
def test_merge_and_unload(pair, ids, safe_merge):
    plain, tuned = (model.double() for model in pair)
    before = tuned(ids).logits
    merged = copy.deepcopy(tuned).merge_and_unload(safe_merge=safe_merge)
    torch.testing.assert_close(merged(ids).logits, before, **SAME)
    assert [(n, type(m)) for n, m in merged.named_modules()] == [(n, type(m)) for n, m in plain.named_modules()]
    assert (merged(ids).logits - plain(ids).logits).abs().max() > 0.01


def test_merge_and_unmerge(pair, ids):
    tuned = pair[1].double()
    before = tuned(ids).logits
    tuned.merge_adapter()
    torch.testing.assert_close(tuned(ids).logits, before, **SAME)
    tuned.unmerge_adapter()
    torch.testing.assert_close(tuned(ids).logits, before, **SAME)


def test_a_broken_update_is_not_merged(pair):
    plain, tuned = pair
    layers(tuned)[0].dsee_s2["default"].data[0] = torch.inf
    with pytest.raises(ValueError, match=r"the adapter 'default' of .* makes its weight infinite or NaN; not merged"):
        tuned.merge_adapter(safe_merge=True)
    for module in layers(tuned):
        assert torch.equal(module.weight, plain.get_submodule(module.name).weight)


def test_disable_adapter(pair, ids):
    plain, tuned = pair
    before = tuned(ids).logits
    with tuned.disable_adapter():
        assert torch.equal(tuned(ids).logits, plain(ids).logits)
    assert torch.equal(tuned(ids).logits, before)
    assert layers(tuned)[0].dsee_s2["default"].requires_grad


def test_a_copy_stands_on_its_own(pair, ids):
    _, tuned = pair
    before, copied = tuned(ids).logits, copy.deepcopy(tuned)
    for module in layers(copied):
        module.dsee_s2["default"].data.zero_()
        module.set_positions("default", [torch.tensor([0])] * len(module.blocks["default"]))
    assert torch.equal(tuned(ids).logits, before)
    assert set(tuned.peft_config["default"].num_entries.values()) != set(
        copied.peft_config["default"].num_entries.values()
    )


def test_two_adapters(tiny_bert, ids):
    tuned = get_peft_model(tiny_bert, DseeConfig(r=2, num_entries=8, target_modules=["query", "value"]))
    plain = tuned(ids).logits
    tuned.add_adapter("second", DseeConfig(r=3, num_entries=0, seed=1, target_modules=["query"]))
    for module in layers(tuned):
        if "second" in module.dsee_u:
            module.dsee_u["second"].data.fill_(0.1)
    assert torch.equal(tuned(ids).logits, plain)
    tuned.set_adapter("second")
    assert not torch.equal(tuned(ids).logits, plain)
    trained = [name for name, weight in tuned.named_parameters() if weight.requires_grad]
    assert trained
    assert all(name.endswith("second") for name in trained)
    tuned.set_adapter("default")
    tuned.delete_adapter("second")
    assert torch.equal(tuned(ids).logits, plain)
    assert not [name for name in tuned.state_dict() if "second" in name]


def test_injected_without_a_wrapper(tiny_bert, ids):
    """As the runner does it: PEFT's BaseTuner inside the transformers model, which stays what it was."""
    plain = copy.deepcopy(tiny_bert)
    settings = {"r": 2, "num_entries": 4, "target_modules": ["query"]}
    model = inject_adapter_in_model(DseeConfig(**settings), tiny_bert)
    assert type(model) is type(plain)
    for module in layers(model):
        nn.init.normal_(module.dsee_u["default"])
        nn.init.normal_(module.dsee_s2["default"])
    other = inject_adapter_in_model(DseeConfig(**settings | {"positions": "random", "seed": 3}), plain)
    set_peft_model_state_dict(other, get_peft_model_state_dict(model))
    assert torch.equal(other(ids).logits, model(ids).logits)


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_with_a_cache(tiny_gpt2, ids, beams):
    tuned = with_update(tiny_gpt2, C_ATTN).double()  # else rounding may choose between two tokens
    settings = {"max_new_tokens": 12, "do_sample": False, "num_beams": beams}
    cached, fresh = (tuned.generate(input_ids=ids, use_cache=cache, **settings) for cache in (True, False))
    assert torch.equal(cached, fresh)
    merged = copy.deepcopy(tuned).merge_and_unload().generate(input_ids=ids, **settings)
    assert torch.equal(cached, merged)


def test_trainer_resumes_to_the_same_numbers(pair, ids, tmp_path):
    _, tuned = pair
    labels = ids if tuned.config.model_type == "gpt2" else ids[:, 0] % 2
    rows = [{"input_ids": text, "labels": label} for text, label in zip(ids, labels, strict=True)]

    def trainer(model):
        settings = TrainingArguments(
            output_dir=tmp_path, max_steps=4, save_steps=2, per_device_train_batch_size=2, use_cpu=True, seed=0
        )
        return Trainer(copy.deepcopy(model), settings, train_dataset=rows)

    whole = trainer(tuned)
    whole.train()
    resumed = trainer(tuned)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    first, second = (get_peft_model_state_dict(run.model) for run in (whole, resumed))
    assert len(first) >= 8
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name
    started = get_peft_model_state_dict(tuned)
    assert any(not torch.equal(first[name], started[name]) for name in first if "dsee_s2" in name)


WRONG = [
    # settings, message
    ({"r": 0}, "r must be at least 1, got 0"),
    ({"lora_alpha": 0}, "lora_alpha must be finite and above 0, got 0"),
    ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
    ({"num_entries": -1}, "num_entries must not be negative, got -1"),
    ({"positions": "grebsmo"}, "unknown positions 'grebsmo'; there is decomposition, authors, .*, stored"),
    ({"num_entries": 1025}, "query has 1024 entries, cannot train 1025"),
    (
        {"num_entries": {"nowhere": 3}},
        "num_entries or row_blocks name nowhere, which are not adapted; adapted are bert.encoder",
    ),
    ({"row_blocks": {"key": [[0, 4]]}}, "num_entries or row_blocks name key, which are not adapted"),
    ({"row_blocks": {"query": [[0, 4], [2, 6]]}}, "pairs within its 32 rows, ascending and apart, got"),
    ({"row_blocks": {"query": [[0, 33]]}}, "row_blocks of bert.encoder.layer.0.attention.self.query must be"),
    ({"row_blocks": {"query": []}}, "row_blocks of .*query must be .* got \\[\\]"),
    ({"positions": "gradient"}, "placement 'gradient' needs dL/dW of bert.encoder.layer.0"),
    ({"target_modules": ["LayerNorm"]}, "DSEE adapts Linear and Conv1D modules, .*LayerNorm is a LayerNorm"),
    ({"target_modules": ["q_proj"]}, "q_proj"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_settings(tiny_bert, settings, message):
    with pytest.raises(ValueError, match=message):
        get_peft_model(tiny_bert, DseeConfig(**{"r": 2, "num_entries": 4, "target_modules": ["query"]} | settings))


def test_kept_by_module(tiny_gpt2):
    """A module's count is for all its blocks: 10 is 5 + 5; what is not named has none."""
    kept = {"transformer.h.0.attn.c_attn": 10}
    tuned = get_peft_model(tiny_gpt2, DseeConfig(r=2, num_entries=kept, **C_ATTN))
    first, second = layers(tuned)
    assert isinstance(first.base_layer, Conv1D)
    rows = first.dsee_positions["default"][0]
    assert (int((rows < 16).sum()), int((rows >= 32).sum())) == (5, 5)
    assert second.num_entries("default") == 0
    with pytest.raises(
        ValueError, match=r"num_entries 9 of transformer\.h\.0\.attn\.c_attn does not divide into its 2 row blocks"
    ):
        DseeConfig(num_entries={"transformer.h.0.attn.c_attn": 9}).counts("transformer.h.0.attn.c_attn", 2)
