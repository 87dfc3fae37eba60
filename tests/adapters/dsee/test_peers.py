"""The update against PEFT's own: LoRA where K = 0, Supertuning where the support is the same.

In float64: the two take their sums in other orders, and AdamW makes a difference of gradients into one of steps.
"""

import copy

import pytest
import torch
from peft import LoraConfig, SupertuningConfig, get_peft_model

from dsee_bench.adapters.dsee import DseeConfig, DseeLayer

TARGETS = ["query", "value"]


def paired(ours, theirs, kind):
    """Our layers with PEFT's at the same places."""
    pairs = [
        (module, theirs.get_submodule(name)) for name, module in ours.named_modules() if isinstance(module, DseeLayer)
    ]
    assert len(pairs) == 4
    assert all(hasattr(peer, kind) for _, peer in pairs)
    return pairs


def assert_close(first, second):
    """Equal but for rounding: a gradient that rounds by 1e-16 moves a step of AdamW, whose size is the learning rate
    1e-2, by at most 1e-2 x 1e-16 / eps 1e-8 = 1e-10; 20 steps make 2e-9. Another formula moves it by 1e-2."""
    torch.testing.assert_close(first, second, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("r", "alpha"), [(4, 8), (3, 5)], ids=["s = 2", "s is no power of two"])
def test_without_entries_it_is_lora_step_for_step(tiny_bert, ids, train, r, alpha):
    theirs = get_peft_model(
        copy.deepcopy(tiny_bert),
        LoraConfig(r=r, lora_alpha=alpha, target_modules=TARGETS, modules_to_save=["classifier"]),
    )
    ours = get_peft_model(
        tiny_bert,
        DseeConfig(r=r, lora_alpha=alpha, num_entries=0, target_modules=TARGETS, modules_to_save=["classifier"]),
    )
    ours.double()
    theirs.double()
    layers = paired(ours, theirs, "lora_A")
    for layer, peer in layers:
        peer.lora_A["default"].weight.data.copy_(layer.dsee_v["default"])
        peer.lora_B["default"].weight.data.copy_(layer.dsee_u["default"])
    start = ours(ids).logits.detach().clone()
    for _ in range(20):
        train(ours, 1)
        train(theirs, 1)
        for layer, peer in layers:
            assert_close(layer.dsee_u["default"], peer.lora_B["default"].weight)
            assert_close(layer.dsee_v["default"], peer.lora_A["default"].weight)
    assert_close(ours(ids).logits, theirs(ids).logits)
    assert (ours(ids).logits - start).abs().max() > 0.1, "nothing was learned, so nothing was compared"


def supertuned(model, ours, r, alpha):
    """PEFT's Supertuning on our support, with our U and V: 16 of 32 x 32 entries are a sparsity of 0.984375."""
    theirs = get_peft_model(
        model, SupertuningConfig(sparsity=1 - 16 / 1024, r=r, lora_alpha=alpha, target_modules=TARGETS)
    )
    for layer, peer in paired(ours, theirs, "supertuning_indices"):
        rows, columns = layer.dsee_positions["default"]
        peer.supertuning_indices["default"] = rows * 32 + columns
        peer.supertuning_lora_A["default"].weight.data.copy_(layer.dsee_v["default"])
        peer.supertuning_lora_B["default"].weight.data.copy_(layer.dsee_u["default"])
    return theirs


@pytest.mark.parametrize("positions", ["decomposition", "random"])
def test_on_the_same_support_it_is_supertuning_step_for_step(tiny_bert, ids, train, positions):
    """At s = 1: Supertuning scales U V by s but not its sparse values, so only then do both take the same steps."""
    base = copy.deepcopy(tiny_bert)
    ours = get_peft_model(
        tiny_bert, DseeConfig(r=4, lora_alpha=4, num_entries=16, positions=positions, target_modules=TARGETS)
    )
    theirs = supertuned(base, ours, r=4, alpha=4).double()
    ours.double()
    for _ in range(20):
        train(ours, 1)
        train(theirs, 1)
    for layer, peer in paired(ours, theirs, "supertuning_values"):
        assert_close(layer.dsee_s2["default"], peer.supertuning_values["default"])
        assert_close(layer.dsee_u["default"], peer.supertuning_lora_B["default"].weight)
        assert layer.dsee_s2["default"].abs().min() > 1e-3, "every entry was trained"
    assert_close(ours(ids).logits, theirs(ids).logits)


def test_our_entries_carry_the_scale(tiny_bert, ids):
    """At s = 8 the outputs agree where Supertuning's values are 8 times ours: W' = W + s (U V + S2)."""
    base = copy.deepcopy(tiny_bert)
    ours = get_peft_model(tiny_bert, DseeConfig(r=4, lora_alpha=32, num_entries=16, target_modules=TARGETS))
    for name, parameter in ours.named_parameters():
        if "dsee_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    theirs = supertuned(base, ours, r=4, alpha=32).double()
    ours.double()
    for layer, peer in paired(ours, theirs, "supertuning_values"):
        peer.supertuning_values["default"].data.copy_(8 * layer.dsee_s2["default"])
    assert_close(ours(ids).logits, theirs(ids).logits)
