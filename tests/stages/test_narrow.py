"""Narrowed equals masked, on every family, with and without an adapter; the counts; what cannot be asked for."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.adapters.coefficient import coefficients_of
from dsee_bench.config import validate
from dsee_bench.models import cost
from dsee_bench.models.access import module_at, pretrained_module
from dsee_bench.models.families import families
from dsee_bench.pruning.groups import members
from dsee_bench.record import StageLog
from dsee_bench.stages.attach import LowRank, Peft, SparseEntries
from dsee_bench.stages.coefficients import Coefficients
from dsee_bench.stages.narrow import Narrow
from dsee_bench.stages.stage import RunState
from dsee_bench.stages.tune import choose_trainable

TINY = [name for name in config.options("backbone") if name.startswith("tiny-")]
ONE_OF_EACH = ("tiny-bert", "tiny-gpt2", "tiny-llama")  # Linear, Conv1D, and gated neurons
ALL_KINDS = ("query", "value", "out", "ffn_in", "ffn_out")
UPDATES = {
    "none": [],
    "dsee": [LowRank(4, 8, 0.0, ("query", "value")), SparseEntries(40, "random", 1)],
    "dsee everywhere": [LowRank(4, 8, 0.0, ALL_KINDS), SparseEntries(40, "random", 1)],
    "lora": [Peft("LORA", {"r": 4, "lora_alpha": 8}, ("query", "value"))],
    "lora everywhere": [Peft("LORA", {"r": 4, "lora_alpha": 8}, ALL_KINDS)],
}


def backbone_of(name, **changed):
    return validate.build({**OmegaConf.load(config.CONF / "backbone" / f"{name}.yaml"), **changed}, "backbone")


NARROWABLE = [name for name in TINY if not backbone_of(name).shared_layers]
WRITERS = [name for name in TINY if backbone_of(name).generates]


def state_of(name, stages, *, lm=False, **changed):
    """The state after these stages, with no trained number left at zero."""
    backbone = backbone_of(name, **changed)
    torch.manual_seed(0)
    loaded = backbone.load_lm() if lm else backbone.load(3, False)
    state = RunState(
        model=loaded.model.eval(),
        spec=backbone.spec(None if lm else 3),
        data={},
        setup=None,
        stage="",
        seed=0,
        folder=None,
    )
    for stage in stages:
        step(state, stage)
    for name_, parameter in state.model.named_parameters():
        if any(part in name_ for part in ("lora_", "dsee_", "coefficient", "bias")):
            torch.nn.init.normal_(parameter, std=0.1)
    choose_trainable(state, "adapter" if state.adapters is not None else "all")
    state.model.double()  # sums over fewer terms are taken in another order
    return state


def step(state, stage):
    state.spec = stage.plan(state.spec)
    return stage.run(state).facts()


def zero_removed(state, heads, neurons):
    """Zero, in the model before, what the removed heads and neurons put out. Returns the hooks."""
    hooks = []
    size = state.spec.head_size * state.spec.queries_per_key
    for weight in state.spec.weights:
        if weight.site.kind not in ("out", "ffn_out"):
            continue
        kept = heads[weight.site.layer] if weight.site.kind == "out" else neurons[weight.site.layer]
        features = members(torch.as_tensor(kept), size) if weight.site.kind == "out" else torch.as_tensor(kept)
        gate = torch.zeros(weight.inputs)
        gate[features] = 1
        hooks.append(
            module_at(state.model, weight.site).register_forward_pre_hook(
                lambda _, arguments, gate=gate: (arguments[0] * gate, *arguments[1:])
            )
        )
    return hooks


def inputs_of(state):
    torch.manual_seed(1)
    ids = torch.randint(5, 600, (3, 9))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def outputs_and_gradients(state):
    state.model.zero_grad(set_to_none=True)
    logits = state.model(**inputs_of(state)).logits
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return logits.detach(), {
        name: parameter.grad.clone() for name, parameter in state.model.named_parameters() if parameter.grad is not None
    }


def neurons_kept(state, before):
    """Which neurons of `before`, in each layer, the narrowed model still has: by their columns of the weight out."""
    kept = []
    for weight in (weight for weight in before if weight[0].kind == "ffn_out"):
        site, full = weight
        now = pretrained_module(state.model, site).weight.detach()
        now = now.T if site.transposed else now
        full = full.T if site.transposed else full
        matches = (full.T[:, None] == now.T[None]).all(-1).nonzero()
        kept.append(matches[:, 0].tolist())
    return kept


@pytest.mark.parametrize(
    ("name", "update"),
    [
        pytest.param(name, update, marks=[pytest.mark.slow] * (update != "dsee everywhere" and name not in ONE_OF_EACH))
        for name in NARROWABLE
        for update in UPDATES
    ],
)
def test_narrowed_equals_masked(name, update):
    """Outputs, and gradients of what still trains, to 1e-10; another number of heads in each layer."""
    narrow = Narrow(heads=0.375, ffn=0.4, score="magnitude", score_ffn="random", scope="model")
    masked, state = (state_of(name, UPDATES[update]) for _ in range(2))
    before = [
        (weight.site, pretrained_module(state.model, weight.site).weight.detach().clone())
        for weight in state.spec.weights
    ]
    facts = step(state, narrow)
    neurons = neurons_kept(state, before)
    assert [len(kept) for kept in neurons] == facts["neurons"]
    zero_removed(masked, facts["heads"], neurons)
    expected, expected_gradients = outputs_and_gradients(masked)
    found, gradients = outputs_and_gradients(state)
    assert (found - expected).abs().max() < 1e-10
    assert gradients.keys() == expected_gradients.keys()
    compared = 0
    for parameter, gradient in gradients.items():
        if gradient.shape == expected_gradients[parameter].shape:
            rounding = 1e-7 if "gemma" in name else 1e-10  # Gemma's norms compute in float32
            assert (gradient - expected_gradients[parameter]).abs().max() < rounding * max(1, gradient.abs().max())
            compared += 1
        else:  # what is left of a narrowed one; the removed part has no gradient, as nothing came out of it
            assert gradient.norm().item() == pytest.approx(
                expected_gradients[parameter].norm().item(), rel=1e-10, abs=1e-10
            )
    assert compared, "some trained parameter keeps its shape: the task head"
    assert state.spec.total == sum(parameter.numel() for parameter in state.model.parameters())


SIBLINGS = [
    # backbone,    model types of the same table, without a backbone of their own
    ("tiny-roberta", "xlm-roberta"),
    ("tiny-roberta", "camembert"),
    ("tiny-llama", "mistral"),
    ("tiny-llama", "smollm3"),
    ("tiny-gemma3", "gemma"),
    ("tiny-gemma3", "gemma2"),
]


def test_every_model_type_is_narrowed_here():
    own = {backbone_of(name).model_type for name in TINY}
    assert "albert" in own, "refused"
    assert own | {model_type for _, model_type in SIBLINGS} == families().keys()


@pytest.mark.parametrize(("name", "model_type"), SIBLINGS)
def test_siblings_are_narrowed_alike(name, model_type):
    """Outputs equal those of the masked model, and the parameters those of the spec."""
    narrow = Narrow(heads=0.25, ffn=0.0, score="magnitude", score_ffn="magnitude", scope="layer")
    masked, state = (state_of(name, UPDATES["dsee everywhere"], model_type=model_type) for _ in range(2))
    facts = step(state, narrow)
    neurons = [range(weight.inputs) for weight in state.spec.weights if weight.site.kind == "ffn_out"]
    zero_removed(masked, facts["heads"], neurons)
    assert (state.model(**inputs_of(state)).logits - masked.model(**inputs_of(state)).logits).abs().max() < 1e-10
    assert state.spec.total == sum(parameter.numel() for parameter in state.model.parameters())


@pytest.mark.parametrize("name", NARROWABLE)
def test_the_plan_is_exact(name):
    """Parameters and FLOPs of a plan are those of the model that the run makes; no sparse entry is involved."""
    state = state_of(name, UPDATES["lora"])
    planned = Narrow(0.25, 0.25, "update", "magnitude", "layer").plan(state.spec)
    step(state, Narrow(0.25, 0.25, "update", "magnitude", "layer"))
    assert state.spec == planned
    assert planned.total == sum(parameter.numel() for parameter in state.model.parameters())


@pytest.mark.parametrize("name", WRITERS)
def test_generation_with_the_cache_after_narrowing(name):
    state = state_of(name, UPDATES["dsee"], lm=True)
    step(state, Narrow(0.375, 0.4, "update", "magnitude", "model"))
    prompt = torch.randint(5, 600, (2, 7))
    settings = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(prompt)}
    with_cache = state.model.generate(prompt, use_cache=True, **settings)
    assert torch.equal(with_cache, state.model.generate(prompt, use_cache=False, **settings))
    assert with_cache.shape == (2, 15)


@pytest.mark.parametrize("name", NARROWABLE)
def test_coefficients_scale_and_fold(name):
    """They change outputs once they are not one; folded, with what is kept, the model is the same."""
    stages = [*UPDATES["dsee everywhere"], Coefficients(1e-4, 1e-4)]
    state = state_of(name, stages)
    narrow = Narrow(0.25, 0.25, "coefficient", "coefficient", "layer")
    for weight in state.spec.weights:
        if weight.coefficients:
            values = coefficients_of(module_at(state.model, weight.site))
            values.data.abs_().add_(0.1)
            size = 1 if weight.site.kind == "ffn_out" else state.spec.queries_per_key
            values.data[: size * (len(values) // size // 4)] = 0  # a quarter, which is then removed
    assert state.penalties[0]() > 0
    expected = state.model(**inputs_of(state)).logits
    facts = step(state, narrow)
    assert (state.model(**inputs_of(state)).logits - expected).abs().max() < 1e-10
    assert 0 not in facts["heads"][0]
    assert state.penalties[0]() == 0
    assert state.spec.coefficients == 0
    assert not any("coefficient" in parameter for parameter, _ in state.model.named_parameters())


def test_grouped_heads_go_together():
    """tiny-llama: 8 query heads on 4 keys; a quarter is one key with its two queries."""
    state = state_of("tiny-llama", [])
    facts = step(state, Narrow(0.25, 0.0, "magnitude", "magnitude", "layer"))
    assert [len(kept) for kept in facts["heads"]] == [3, 3]
    assert state.spec.attention == (6, 6)
    attention = state.model.get_submodule("model.layers.0.self_attn")
    assert attention.q_proj.weight.shape == (6 * 8, 64)
    assert attention.k_proj.weight.shape == (3 * 8, 64)


def test_sparse_entries_on_removed_rows_are_gone():
    state = state_of("tiny-bert", UPDATES["dsee"])
    site = next(weight.site for weight in state.spec.weights if weight.site.kind == "query")
    layer = module_at(state.model, site)
    dense = layer.sparse_delta("default")
    facts = step(state, Narrow(0.25, 0.0, "update", "magnitude", "layer"))
    rows = members(torch.tensor(facts["heads"][0]), 8)
    assert torch.equal(layer.sparse_delta("default"), dense[rows])
    assert facts["entries"][site.path] == int((dense[rows] != 0).sum()) < 40
    assert len(set(facts["entries"].values())) > 1, "K differs from weight to weight"


def test_masks_are_cut_along():
    state = state_of("tiny-bert", [])
    for weight in state.spec.weights:
        mask = torch.rand(weight.outputs, weight.inputs) > 0.5
        state.masks[weight.site] = mask
        pretrained_module(state.model, weight.site).weight.data *= mask
    step(state, Narrow(0.25, 0.25, "magnitude", "magnitude", "layer"))
    for weight in state.spec.weights:
        assert state.masks[weight.site].shape == (weight.outputs, weight.inputs)
        zeros = pretrained_module(state.model, weight.site).weight == 0
        assert torch.equal(zeros, ~state.masks[weight.site])
        assert weight.nnz == int(state.masks[weight.site].sum())


@pytest.mark.parametrize("name", NARROWABLE)
def test_a_cached_state_is_rebuilt(name, tmp_path):
    """restore gives the modules that the saved tensors fit, and the same spec."""
    from safetensors.torch import load_model, save_model

    stages = [*UPDATES["dsee"], Coefficients(1e-4, 1e-4)]
    narrow = Narrow(0.375, 0.4, "update", "magnitude", "model")
    state = state_of(name, stages)
    facts = json.loads(json.dumps(step(state, narrow)))
    save_model(state.model, tmp_path / "model.safetensors")
    again = state_of(name, [])
    for stage in stages:
        again.spec = stage.plan(again.spec)
        stage.restore(again, {})
    again.spec = narrow.plan(again.spec)
    narrow.restore(again, facts)
    load_model(again.model, tmp_path / "model.safetensors")
    assert again.spec == state.spec
    assert torch.equal(again.model(**inputs_of(state)).logits, state.model(**inputs_of(state)).logits)


def test_a_cached_state_is_described_alike_where_a_mask_covers_the_update(tmp_path):
    """Masked, then narrowed: what merging fills decides the FLOPs and how the model is exported."""
    from dsee_bench.cache.store import Cache
    from dsee_bench.stages.prune import PruneWeights

    pruning = PruneWeights(
        0.5,
        None,
        None,
        "update",
        "W",
        False,
        ("query", "value"),
        ("key", "out", "ffn_in", "ffn_out"),
        scope="model",
        mask_adapter=True,
    )
    stages = {"low_rank": LowRank(4, 8, 0.0, ("query", "value")), "prune": pruning,
              "narrow": Narrow(0.25, 0.25, "magnitude", "magnitude", "layer")}  # fmt: skip
    straight = state_of("tiny-bert", [])
    logs = []
    for name, stage in stages.items():
        logs.append(StageLog(name, 0.0, None, json.loads(json.dumps(step(straight, stage)))))
    cache = Cache(tmp_path, stages, {})
    cache.save("key", straight, logs)
    again = state_of("tiny-bert", [])
    cache.restore_latest(["key"], again)
    assert again.spec == straight.spec
    assert all(weight.merges for weight in again.spec.weights)


LEFT = [
    # heads, ffn, share of BERT-base's 22,348,431,360 FLOPs at 128 tokens, origin
    (0.25, 0.0, 0.912, "science: 9 of 12 heads"),
    (0.25, 0.25, 0.750, "science: the ACL abstract's 25 %"),
    (0.25, 0.4, 0.653, "science: the first preprint's 35 %"),
]


@pytest.mark.parametrize(("heads", "ffn", "share", "origin"), LEFT)
def test_share_of_flops_left_on_bert_base(heads, ffn, share, origin):
    spec = backbone_of("bert-base").spec(2)
    narrowed = Narrow(heads, ffn, "magnitude", "magnitude", "layer").plan(spec)
    assert cost.forward_flops(narrowed, 128) / cost.forward_flops(spec, 128) == pytest.approx(share, abs=5e-4), origin


@pytest.mark.parametrize("name", ["bert-base", "deberta-v3-base", "gpt2", "smollm2"])
def test_torch_counts_the_narrowed_model_alike(name):
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from dsee_bench.models.fused import split

    backbone = backbone_of(name, layers=1)
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        settings = AutoConfig.for_model(
            backbone.model_type, num_labels=2, attn_implementation="eager", **backbone.config_settings()
        )
        model = AutoModelForSequenceClassification.from_config(settings).eval().requires_grad_(False)
        split(model)
        state = replace_model(backbone, model)
        stage = Narrow(0.25, 0.4, "magnitude", "magnitude", "layer")
        state.spec = stage.plan(state.spec)
        heads = [
            torch.arange(weight.inputs // state.spec.head_size // state.spec.queries_per_key)
            for weight in state.spec.weights
            if weight.site.kind == "out"
        ]
        neurons = [torch.arange(weight.inputs) for weight in state.spec.weights if weight.site.kind == "ffn_out"]
        from dsee_bench.adapters.removal import remove

        state.spec = remove(state.model, state.spec, state.masks, heads, neurons)
        with FlopCounterMode(display=False) as counter:
            model.base_model(torch.ones(1, 128, dtype=torch.long))
    assert counter.get_total_flops() == cost.forward_flops(state.spec, 128)


def replace_model(backbone, model):
    return RunState(
        model=model, spec=backbone.spec(2), data={}, setup=None, stage="", seed=0, folder=None,
    )  # fmt: skip


REFUSED = [
    # stages before,   narrow,                                                  part of the message
    ([], (0.25, 0.25, "update", "magnitude", "layer"), "there is none"),
    ([], (0.25, 0.25, "magnitude", "update", "layer"), "use score_ffn=magnitude"),
    ([], (0.25, 0.25, "coefficient", "magnitude", "layer"), "put a coefficients stage"),
    ([], (0.95, 0.25, "magnitude", "magnitude", "layer"), "asks 4 of the 4 of layer 0 away"),
    ([], (0.9, 0.25, "magnitude", "magnitude", "model"), "one must stay in each layer"),
    ([], (0.1, 0.25, "magnitude", "magnitude", "layer"), "removes none of the 4"),
    ([Peft("IA3", {}, ("query", "value"))], (0.25, 0.25, "magnitude", "magnitude", "layer"), "cannot be narrowed"),
    (
        [Peft("SUPERTUNING", {"r": 4, "sparsity": 0.9}, ("query", "value"))],
        (0.25, 0.25, "magnitude", "magnitude", "layer"),
        "cannot be narrowed",
    ),
]


@pytest.mark.parametrize(("stages", "settings", "message"), REFUSED)
def test_what_cannot_be_asked_for(stages, settings, message):
    spec = backbone_of("tiny-bert").spec(2)
    for stage in stages:
        spec = stage.plan(spec)
    with pytest.raises(ValueError, match=message):
        Narrow(*settings).plan(spec)


@pytest.mark.parametrize("scope", ["layer", "model"])
def test_layers_that_share_their_weights_are_refused(scope):
    spec = backbone_of("tiny-albert").spec(2)
    for stage in (Narrow(0.25, 0.25, "magnitude", "magnitude", scope), Coefficients(0, 0)):
        with pytest.raises(ValueError, match=r"the 3 layers of this backbone share one layer's weights.*method=lora"):
            stage.plan(spec)
    assert Narrow(0.25, 0.25, "magnitude", "magnitude", scope).plan(backbone_of("tiny-albert", layers=1).spec(2))


def test_shares_out_of_range():
    node = OmegaConf.to_container(OmegaConf.load(config.CONF / "stage" / "narrow.yaml"))
    with pytest.raises(ValueError, match=r"narrow\.heads must lie in \[0, 1\), got 1.0"):
        validate.build({**node, "heads": 1.0}, "method.stages.narrow")
    with pytest.raises(ValueError, match="remove nothing"):
        Narrow(0.0, 0.0, "magnitude", "magnitude", "layer")


def test_an_update_after_coefficients_is_refused():
    spec = Coefficients(0, 0).plan(backbone_of("tiny-bert").spec(2))
    with pytest.raises(ValueError, match="has coefficients"):
        LowRank(4, 8, 0.0, ("out",)).plan(spec)


def test_methods_of_the_paper_are_planned():
    for method, saved in (("dsee_structured", 0.25), ("dsee_structured_40", 0.347), ("earlybert", 0.25)):
        composed = config.compose(["backbone=bert-base", "task=rte", f"method={method}"])
        found = plan.plan(plan.read(OmegaConf.to_container(composed, resolve=True)))
        assert found.flops(found.final).saved == pytest.approx(saved, abs=1e-3)
