"""Weights stored in 16 bits: the model is the float32 one whose weights were rounded once, in every family."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from dsee_bench import config, load, plan
from dsee_bench.adapters.dsee import DseeConfig
from dsee_bench.adapters.dsee.layer import DseeLayer
from dsee_bench.config import ConfigError
from dsee_bench.deploy.export import detached, export, outputs_of
from dsee_bench.deploy.peft_form import Base
from dsee_bench.models.access import head_parameters, weight_of
from dsee_bench.models.low_precision import store
from dsee_bench.plan import text as plan_text
from dsee_bench.runs import pipeline, sweep

TINY = [name for name in config.options("backbone") if name.startswith("tiny-")]
QUICK = [
    *("task=toy_pairs", "task.rows.dev=32", "train.max_rows=64", "train.epochs=1", "train.retune_epochs=1"),
    *("train.lr_adapter=1e-2", "train.precision=fp32", "device=cpu"),
]


def loaded(settings):
    torch.manual_seed(0)
    return settings.backbone.load(2, False).model.eval()


def batch():
    ids = torch.randint(0, 100, (3, 17), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def rounded(model, dtype, spec):
    """The float32 model with every weight but the head's rounded to `dtype` by torch."""
    head = head_parameters(model, spec)
    for name, value in model.named_parameters():
        if name not in head:
            value.data = value.data.to(dtype).float()
    return model


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", TINY)
def test_outputs_and_gradients_are_those_of_rounded_float32_weights(name, dtype, autocast, compose_run):
    stored = loaded(compose_run(f"backbone={name}", f"backbone.dtype={dtype}"))
    spec = compose_run(f"backbone={name}").backbone.spec(2)
    exact = rounded(loaded(compose_run(f"backbone={name}")), getattr(torch, dtype), spec)
    head = head_parameters(stored, spec)
    assert {str(value.dtype) for name, value in stored.named_parameters() if name not in head} == {f"torch.{dtype}"}
    assert {str(value.dtype) for name, value in stored.named_parameters() if name in head} == {"torch.float32"}
    gradients = []
    for model in (stored, exact):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            inputs = model.get_input_embeddings()
            seen = []
            handle = inputs.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out) or out.retain_grad())
            model(**batch()).logits.float().square().sum().backward()
            handle.remove()
        gradients.append([seen[0].grad, *(dict(model.named_parameters())[name].grad for name in sorted(head))])
    for mine, theirs in zip(*gradients, strict=True):
        error = (mine - theirs).norm() / theirs.norm()
        assert error < (0.02 if autocast else 1e-5), "under autocast the backward's sums are rounded to 8 bits"
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.no_grad():
        assert torch.equal(stored(**batch()).logits, exact(**batch()).logits)


def round_after(monkeypatch, cls, method, parameter):
    original = getattr(cls, method)

    def rounding(layer, *arguments, **more):
        original(layer, *arguments, **more)
        value = parameter(layer)
        value.data = value.data.bfloat16().float()

    monkeypatch.setattr(cls, method, rounding)


@pytest.mark.parametrize("backbone", ["tiny-bert", "tiny-gpt2"])
@pytest.mark.parametrize("method", ["dsee", "dsee_masked", "dsee_structured", "dsee_gradual", "lora", "peft/ia3",
                                    "peft/bias", "peft/norm"])  # fmt: skip
def test_a_run_is_that_of_rounded_float32_weights(method, backbone, compose_run, tmp_path, monkeypatch):
    """Every stage sees the same numbers, so it chooses the same entries, masks and heads, and trains to the same end.

    PEFT makes an adapter in the type of its weight before it is widened, so the float32 run's is rounded here.
    """
    words = [*QUICK, f"method={method}", f"backbone={backbone}"]
    ends = {}
    for dtype in ("bfloat16", None):
        settings = compose_run(*words, *([f"backbone.dtype={dtype}"] if dtype else []))
        if dtype is None:
            plain = pipeline._load

            def load_rounded(settings, plain=plain):
                found = plain(settings)
                rounded(found.model, torch.bfloat16, settings.backbone.spec(2))
                return found

            monkeypatch.setattr(pipeline, "_load", load_rounded)
            round_after(monkeypatch, DseeLayer, "add_adapter", lambda layer: layer.dsee_v["default"])
            round_after(monkeypatch, LoraLayer, "reset_lora_parameters", lambda layer: layer.lora_A["default"].weight)
        state, inputs = pipeline.prepare(settings, tmp_path / str(dtype))
        logs = pipeline.run_stages(settings, state, tmp_path / str(dtype), inputs)
        ends[dtype] = state, [log.facts.get("curve") for log in logs]
    (stored, curve), (exact, expected) = ends["bfloat16"], ends[None]
    for mine, theirs in zip(filter(None, curve), filter(None, expected), strict=True):
        assert [point["loss"] for point in mine] == pytest.approx([point["loss"] for point in theirs], rel=1e-4)
    assert stored.spec == exact.spec
    assert all(torch.equal(mask, exact.masks[site]) for site, mask in stored.masks.items())
    for name, value in stored.model.named_parameters():
        assert value.dtype == (torch.float32 if value.requires_grad else torch.bfloat16), name
        torch.testing.assert_close(value.float(), dict(exact.model.named_parameters())[name], rtol=1e-3, atol=1e-4)
    assert any(value.dtype == torch.bfloat16 for value in stored.model.parameters())


@pytest.mark.parametrize("adapter", [
    DseeConfig(r=4, num_entries=8, positions="random", target_modules=["query", "value"]),
    LoraConfig(r=4, target_modules=["query", "value"]),
])  # fmt: skip
def test_merging_rounds_the_float32_sum_once(adapter):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    model = BertForSequenceClassification(BertConfig(vocab_size=100, **sizes))
    store(model, "bfloat16", {"classifier.weight", "classifier.bias"})
    tuned = get_peft_model(model, adapter).base_model
    for name, value in tuned.named_parameters():
        if tuned.prefix in name:
            assert value.dtype == torch.float32
            value.data.normal_(std=0.05)
    layer = tuned.model.bert.encoder.layer[0].attention.self.query
    before = layer.get_base_layer().weight.clone()
    expected = (before.float() + layer.get_delta_weight("default").float()).bfloat16()
    plain, form = detached(tuned.model, tuned, None, "merged")
    assert form == "merged"
    assert torch.equal(plain.bert.encoder.layer[0].attention.self.query.weight, expected)
    assert torch.equal(layer.get_base_layer().weight, before), "the model itself is not merged"
    if isinstance(adapter, DseeConfig):  # by PEFT alone, as a user of the library merges it
        assert torch.equal(copy.deepcopy(tuned).merge_and_unload().bert.encoder.layer[0].attention.self.query.weight,
                           expected)  # fmt: skip


@pytest.mark.parametrize(("method", "storage", "form"), [
    ("dsee", "dense", "merged"),
    ("dsee", "csr", "apart"),
    ("dsee_structured", "bitmask", "merged"),
    ("lora", "dense", "merged"),
])  # fmt: skip
@pytest.mark.parametrize("backbone", ["tiny-bert", "tiny-gpt2"])
def test_an_export_is_stored_and_answers_as_the_run(method, storage, form, backbone, compose_run, tmp_path):
    settings = compose_run(*QUICK, f"method={method}", f"backbone={backbone}", "backbone.dtype=bfloat16")
    state, inputs = pipeline.prepare(settings, tmp_path)
    pipeline.run_stages(settings, state, tmp_path / "states", inputs)
    setup, untouched = state.setup, settings.backbone.spec(2)
    export(state.model, state.adapters, state.spec, untouched, setup.tokenizer, outputs_of(setup), tmp_path / "out",
           base=Base(backbone), folding=form, storage=storage, force=False)  # fmt: skip
    found = load(tmp_path / "out")
    plain, _ = detached(state.model, state.adapters, state.spec, form)
    answers = (plain if form == "merged" else state.model).eval()(**batch()).logits
    assert torch.equal(found(**batch()).logits, answers)
    assert weight_of(plain, state.spec.weights[0].site).dtype == torch.bfloat16
    types = {str(value.dtype) for value in found.parameters()}
    assert types == {"torch.bfloat16", "torch.float32"}, "the head, and an adapter apart, in float32"
    if (storage, form, method) == ("dense", "merged", "lora"):
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", dtype="float32").eval()
        torch.testing.assert_close(again(**batch()).logits, answers, rtol=0, atol=1e-6)


def test_a_number_too_large_for_float16_is_named(compose_run):
    model = loaded(compose_run("backbone=tiny-bert"))
    model.bert.pooler.dense.weight.data[0, 0] = 1e5
    with pytest.raises(ValueError, match=r"bert\.pooler\.dense\.weight has entries beyond 6.55e\+04.*dtype=bfloat16"):
        store(copy.deepcopy(model), "float16", ())
    store(model, "bfloat16", ())


@pytest.mark.parametrize(("method", "message"), [
    ("full", "stage tune of method full tunes all of them"),
    ("gmp", "stage gradual of method gmp tunes all of them"),
    ("peft/shira", "adds SHIRA to the weights themselves"),
])  # fmt: skip
def test_methods_that_change_the_weights_are_refused(method, message, compose_run):
    with pytest.raises(ConfigError, match=message):
        plan.plan(compose_run(f"method={method}", "backbone.dtype=float16"))
    plan.plan(compose_run(f"method={method}", "backbone.dtype=float32"))


def test_the_plan_names_it_and_null_keeps_the_run(compose_run):
    stored = plan.plan(compose_run("method=lora", "backbone.dtype=bfloat16"))
    assert "stored in bfloat16" in plan_text.as_text(stored)
    assert '"dtype": "bfloat16"' in plan_text.as_json(stored)
    ids = [config.run_id(sweep.resolved(["method=lora", *words])) for words in ([], ["backbone.dtype=null"])]
    assert ids[0] == ids[1] != stored.run_id
