"""One layer: the start, the effective weight, blocks of rows, supports, precision, and what it counts."""

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model
from transformers.pytorch_utils import Conv1D

from dsee_bench.adapters.dsee import DseeConfig, DseeLayer
from dsee_bench.pruning.decomposition import place

THIRDS = {"c_attn": [[0, 16], [32, 48]]}  # query and value of the tiny GPT-2


def layer_around(module, **settings):
    """A DseeLayer named "w" around `module`, with every part of its adapter away from zero."""
    layer = DseeLayer(module.requires_grad_(False), "w")
    layer.add_adapter(
        "default", DseeConfig(**{"r": 2, "lora_alpha": 6, "num_entries": 5, "positions": "random"} | settings)
    )
    layer.set_adapter("default")
    generator = torch.Generator().manual_seed(0)
    for parameter in (layer.dsee_u, layer.dsee_v, layer.dsee_s2):
        for value in parameter.values():
            value.data.normal_(generator=generator)
    return layer


def seen(layer, weight):
    """A weight as (O, I), whichever way the module stores it."""
    return weight.T if isinstance(layer.base_layer, Conv1D) else weight


MODULES = [
    # module, row blocks, adapted rows, why
    (lambda: nn.Linear(7, 12), None, range(12), "a Linear, all rows"),
    (lambda: nn.Linear(7, 12, bias=False), None, range(12), "no bias"),
    (lambda: Conv1D(12, 7), None, range(12), "a Conv1D stores (I, O)"),
    (lambda: Conv1D(12, 7), {"w": [[0, 4], [8, 12]]}, [*range(4), *range(8, 12)], "two thirds of a fused weight"),
    (lambda: nn.Linear(7, 12), {"w": [[3, 5]]}, range(3, 5), "one block, gaps before and after"),
    (lambda: nn.Linear(7, 12), {"w": [[0, 6], [6, 12]]}, range(12), "blocks that touch"),
]


@pytest.mark.parametrize(("module", "row_blocks", "rows", "why"), MODULES)
def test_the_effective_weight(module, row_blocks, rows, why):
    """The output is that of W + s (U V + S2), put together densely from the parts; other rows are W's own."""
    layer = layer_around(module(), row_blocks=row_blocks).double()  # the parts are added in another order
    u, v = layer.dsee_u["default"], layer.dsee_v["default"]
    delta = torch.zeros(12, 7, dtype=torch.float64)
    for block, (start, stop) in enumerate(layer.blocks["default"]):
        upto = sum(b - a for a, b in layer.blocks["default"][:block])
        delta[start:stop] = u[upto : upto + stop - start] @ v[2 * block : 2 * block + 2]
    for row, column, value in zip(*layer.dsee_positions["default"], layer.dsee_s2["default"], strict=True):
        delta[row, column] += value
    assert set(delta.abs().sum(1).nonzero().flatten().tolist()) == set(rows), why

    x = torch.randn(3, 2, 7, dtype=torch.float64)
    effective = seen(layer, layer.base_layer.weight) + 3 * delta
    bias = getattr(layer.base_layer, "bias", None)
    torch.testing.assert_close(layer(x), nn.functional.linear(x, effective, bias))
    torch.testing.assert_close(seen(layer, layer.get_delta_weight("default")), 3 * delta)
    torch.testing.assert_close(layer.low_rank_delta("default").detach() + layer.sparse_delta("default"), delta)
    assert int(layer.sparse_delta("default").count_nonzero()) == 5 * len(layer.blocks["default"])
    layer.merge()
    torch.testing.assert_close(layer(x), nn.functional.linear(x, effective, bias))


@pytest.mark.parametrize("positions", ["decomposition", "magnitude", "random"])
def test_the_start_is_bit_equal_and_the_backbone_stays(tiny_bert, tiny_gpt2, ids, train, positions):
    for model, settings in (
        (tiny_bert, {"target_modules": ["query", "value"]}),
        (tiny_gpt2, {"target_modules": ["c_attn"], "row_blocks": THIRDS}),
    ):
        before = model(ids).logits
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        tuned = get_peft_model(model, DseeConfig(r=2, num_entries=6, positions=positions, **settings))
        assert torch.equal(tuned(ids).logits, before)
        train(tuned, 5)
        assert (tuned(ids).logits - before).abs().max() > 1e-3, "nothing was trained"
        now = {name.replace(".base_layer", ""): weight for name, weight in tuned.get_base_model().state_dict().items()}
        assert len(weights) > 20
        for name, weight in weights.items():
            assert torch.equal(now[name], weight), name


def test_v_follows_the_seed_and_the_name():
    def v(seed, name):
        layer = DseeLayer(nn.Linear(400, 300), name)
        layer.add_adapter("default", DseeConfig(r=16, num_entries=0, seed=seed))
        return layer.dsee_v["default"]

    assert torch.equal(v(0, "a"), v(0, "a"))
    assert not torch.equal(v(0, "a"), v(1, "a"))
    assert not torch.equal(v(0, "a"), v(0, "b"))
    # Science, section 1: N(0, 0.02); the error of the spread of 6,400 draws is 0.02 / sqrt(2 x 6400).
    assert v(0, "a").std().item() == pytest.approx(0.02, abs=4 * 0.02 / (2 * 6400) ** 0.5)


def test_without_entries_there_is_no_s2(ids, tiny_bert):
    tuned = get_peft_model(tiny_bert, DseeConfig(r=2, num_entries=0, target_modules=["query"]))
    assert not [name for name in tuned.state_dict() if "dsee_s2" in name or "dsee_positions" in name]
    assert "AddEntries" not in str(graph(tuned(ids).logits))


def graph(tensor):
    """The names of the backward functions behind `tensor`."""
    seen, waiting = set(), [tensor.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [parent for parent, _ in node.next_functions]
    return sorted(node.name() for node in seen)


def test_a_support_is_set_later(ids, tiny_bert, train):
    tuned = get_peft_model(tiny_bert, DseeConfig(r=2, num_entries=0, target_modules=["query"]))
    train(tuned, 3)
    before = tuned(ids).logits
    layers = [module for module in tuned.modules() if isinstance(module, DseeLayer)]
    for count, layer in zip([3, 8], layers, strict=True):
        (weight,) = layer.block_weights("default")
        layer.set_positions(
            "default", [place(weight, count, "magnitude", rank=2, generator=torch.Generator(), name="w")]
        )
    assert torch.equal(tuned(ids).logits, before), "new entries are zero"
    assert "AddEntriesBackward" in graph(tuned(ids).logits)
    query = "bert.encoder.layer.{}.attention.self.query"
    assert tuned.peft_config["default"].num_entries == {query.format(0): 3, query.format(1): 8}
    train(tuned, 2)
    for layer in layers:
        moved, entries = layer.sparse_delta("default"), layer.dsee_s2["default"]
        assert entries.abs().min() > 0
        largest = layer.weight.abs().flatten().topk(len(entries)).indices
        assert set(moved.flatten().nonzero().flatten().tolist()) == set(largest.tolist())


def test_positions_of_a_block_are_moved_to_its_rows():
    layer = layer_around(Conv1D(12, 7), row_blocks={"w": [[0, 4], [8, 12]]})
    layer.set_positions("default", [torch.tensor([0, 13]), torch.tensor([1, 27])])
    # flat 13 in 7 columns is (1, 6); in the second block, which starts at row 8, 1 is (8, 1) and 27 is (11, 6)
    assert layer.dsee_positions["default"].tolist() == [[0, 1, 8, 11], [0, 6, 1, 6]]


SUPPORTS = [
    ([torch.tensor([0, 0])], r"must differ and lie in \[0, 84\).*got 1 between 0 and 0 in 2"),
    ([torch.tensor([84])], r"got 1 between 84 and 84 in 1"),
    ([torch.tensor([-1])], r"got 1 between -1 and -1 in 1"),
    ([torch.tensor([0]), torch.tensor([0])], "w has 1 row blocks, got positions for 2"),
]


@pytest.mark.parametrize(("positions", "message"), SUPPORTS)
def test_impossible_supports(positions, message):
    with pytest.raises(ValueError, match=message):
        layer_around(nn.Linear(7, 12)).set_positions("default", positions)


def test_a_merged_layer_keeps_its_support():
    layer = layer_around(nn.Linear(7, 12))
    layer.merge()
    with pytest.raises(ValueError, match="w is merged; unmerge it before its entries are moved"):
        layer.set_positions("default", [torch.tensor([1])])


@pytest.mark.parametrize("masked", [False, True])
def test_dropout_is_on_the_low_rank_path_alone(masked):
    layer = layer_around(nn.Linear(7, 12), dropout=0.5).train().double()
    mask = torch.ones(12, 7, dtype=torch.bool)
    if masked:
        mask = torch.rand(12, 7, generator=torch.Generator().manual_seed(0)) < 0.5
        layer.set_mask("default", mask)
    x = torch.randn(50, 7, dtype=torch.float64)
    assert not torch.equal(layer(x), layer(x))
    layer.dsee_u["default"].data.zero_()
    expected = layer.base_layer(x) + 3 * x @ (layer.sparse_delta("default") * mask).T
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.bfloat16, 8), (torch.float16, 11)])
@pytest.mark.parametrize("masked", [False, True])
def test_under_autocast(dtype, bits, masked):
    """Results in 16 bits, gradients in float32; both as close to full precision as the type's bits allow."""
    layer = layer_around(nn.Linear(64, 48), num_entries=40)
    if masked:
        layer.set_mask("default", torch.rand(48, 64, generator=torch.Generator().manual_seed(0)) < 0.5)
    x = torch.randn(5, 9, 64)
    trained = [layer.dsee_u["default"], layer.dsee_v["default"], layer.dsee_s2["default"]]
    exact = layer(x)
    gradients = torch.autograd.grad(exact.square().mean(), trained)
    with torch.autocast("cpu", dtype):
        rounded = layer(x)
    assert rounded.dtype == dtype
    assert ((rounded - exact).norm() / exact.norm()).item() < 2 ** (1 - bits)
    rounded_gradients = torch.autograd.grad(rounded.float().square().mean(), trained)
    for got, expected in zip(rounded_gradients, gradients, strict=True):
        assert got.dtype == torch.float32
        assert ((got - expected).norm() / expected.norm()).item() < 2 ** (2 - bits)


def test_a_bf16_backbone_with_float32_update():
    """PEFT trains the adapter of a half-precision model in float32; the layer's output keeps the model's type."""
    layer = layer_around(nn.Linear(64, 48))
    x = torch.randn(5, 64)
    exact = layer(x)
    layer.base_layer.to(torch.bfloat16)
    result = layer(x.to(torch.bfloat16))
    assert result.dtype == torch.bfloat16
    assert ((result - exact).norm() / exact.norm()).item() < 2**-6


BERT_BASE = lambda: BertModel(BertConfig())  # noqa: E731
GPT2_MEDIUM = lambda: GPT2Model(GPT2Config(n_embd=1024, n_layer=24, n_head=16))  # noqa: E731
QUERY_VALUE = {"target_modules": ["query", "value"]}
C_ATTN = {"target_modules": ["c_attn"], "row_blocks": {"c_attn": [[0, 1024], [2048, 3072]]}}

COUNTS = [
    # model, settings, rank, num_entries, parameters (R (O + I) + K for each weight)
    (BERT_BASE, QUERY_VALUE, 16, 0, 589_824),
    (BERT_BASE, QUERY_VALUE, 16, 16, 590_208),
    (BERT_BASE, QUERY_VALUE, 16, 64, 591_360),
    (BERT_BASE, QUERY_VALUE, 16, 128, 592_896),
    (GPT2_MEDIUM, C_ATTN, 4, 0, 393_216),
    (GPT2_MEDIUM, C_ATTN, 4, 16, 393_216 + 48 * 16),  # formula: K in each of 48 blocks
]


@pytest.mark.parametrize(("build", "settings", "rank", "num_entries", "parameters"), COUNTS)
def test_parameter_counts(build, settings, rank, num_entries, parameters):
    with torch.device("meta"):
        model = build()
    tuned = get_peft_model(model, DseeConfig(r=rank, num_entries=num_entries, **settings))
    assert sum(weight.numel() for weight in tuned.parameters() if weight.requires_grad) == parameters
