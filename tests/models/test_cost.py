"""Parameters and FLOPs of a plan against published counts, hand-worked ones, and torch's own counter."""

import json
from dataclasses import replace

import pytest
from omegaconf import OmegaConf
from torch_counts import check_against
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.initialization import no_init_weights

from dsee_bench import config, plan
from dsee_bench.adapters.peft_methods import METHODS
from dsee_bench.models import cost
from dsee_bench.models.families import families
from dsee_bench.models.fused import split
from dsee_bench.models.spec import Site, dense
from dsee_bench.plan import text as plan_text
from dsee_bench.runs import sweep


def planned(*overrides):
    resolved = sweep.resolved(list(overrides))
    settings = plan.read(resolved)
    return settings, plan.plan(settings)


ADAPTER = [
    # overrides on bert-base, RTE,                        adapter,  origin
    (["method=lora"], 589_824, "24 weights x 16 x (768 + 768)"),
    (["method=dsee_update", "method.stages.sparse.num_entries=16"], 590_208, "589,824 + 24 x 16"),
    (["method=dsee_update"], 591_360, "589,824 + 24 x 64"),
    (["method=dsee_update", "method.stages.sparse.num_entries=128"], 592_896, "589,824 + 24 x 128"),
    (["method=dsee_update", "method.stages.sparse.placement=none"], 589_824, "K = 0 is LoRA"),
    (["method=lora_twice"], 589_824, "as lora"),
    (["method=lora_all"], 663_552, "12 layers x 4 x (4 x (768 + 768) + 2 x (768 + 3072))"),
    (["method=lora_all_twice"], 663_552, "as lora_all"),
    (["method=lora", "backbone=roberta-base", "method.stages.lora.settings.r=8"], 294_912, "LoRA paper: 0.3 M"),
]


@pytest.mark.parametrize(("overrides", "adapter", "origin"), ADAPTER)
def test_adapter_parameters(overrides, adapter, origin):
    backbone = [] if any("backbone=" in item for item in overrides) else ["backbone=bert-base"]
    _, found = planned("task=rte", *backbone, *overrides)
    assert json.loads(plan_text.as_json(found))["parameters"]["adapter"] == adapter, origin


def test_the_structured_update_of_bert_base_is_half_a_percent_of_it():
    """The abstract's figures, 25 % of FLOPs saved with 0.5 % trained, worked by hand: an adapter of rank 4 on every
    weight. Sparse entries that lose their row go with it, so after the removal the plan has their expected number."""
    _, found = planned("task=rte", "backbone=bert-base", "method=dsee_structured")
    width, ffn, heads_left, ffn_left = 768, 3072, 576, 2304
    before = 12 * 4 * (4 * (width + width) + 2 * (width + ffn)) + 72 * 64
    after = 12 * 4 * (4 * (width + heads_left) + 2 * (width + ffn_left)) + 72 * 48
    assert [step.spec.adapter for step in found.steps if step.name in ("tune", "retune")] == [before, after]
    assert (before, after) == (668_160, 556_416)
    assert round(after / 109_483_778, 3) == 0.005
    assert round(found.flops(found.final).saved, 2) == 0.25


def test_bert_base_head_total_and_dense_flops():
    _, found = planned("task=rte", "backbone=bert-base", "method=full")
    said = json.loads(plan_text.as_json(found))
    assert said["parameters"] == {
        "adapter": 0,
        "head": 1_538,  # 2 x 768 + 2
        "trainable": 109_483_778,  # transformers' num_parameters of BertForSequenceClassification
        "nnz": 109_483_778,
        "total": 109_483_778,
    }
    assert said["flops"] == {"tokens": 128, "dense": 22_348_431_360, "final": 22_348_431_360, "saved": 0.0}


CHOICES = ["task=custom", "task.kind=multiple_choice", "task.train=a.csv", "task.dev=a.csv", "task.labels=[a,b]"]


@pytest.mark.parametrize(
    ("choices", "passes", "line"),
    [
        ("[one,two,three]", 3, "An example has 3 forward passes"),
        ("all", None, "a forward pass for each of its choices"),
    ],
)
def test_a_question_costs_a_forward_pass_a_choice(choices, passes, line):
    _, one = planned("method=lora")
    _, found = planned("method=lora", *CHOICES, f"task.choices={choices}")
    assert json.loads(plan_text.as_json(found))["passes"] == passes
    assert line in plan_text.as_text(found)
    assert found.answering.rows == one.answering.rows * (passes or 1)


def test_plan_json_has_the_names_that_other_tools_rely_on():
    _, found = planned("method=dsee")
    said = json.loads(plan_text.as_json(found))
    assert list(said) == [
        *("run_id", "stages", "parameters", "flops", "passes", "chosen"),
        *("estimates", "memory", "dtype", "evaluate_on", "recipe"),
    ]
    assert [stage["name"] for stage in said["stages"]] == ["low_rank", "sparse", "tune", "prune", "retune"]
    assert all({"name", "sites", "parameters", "flops"} <= set(stage) for stage in said["stages"])
    assert said["stages"][0]["sites"][0] == "bert.encoder.layer.0.attention.self.query"
    assert said["stages"][2]["steps"] == 96  # 1,024 rows / 32 x 3 epochs


def test_pruning_saves_the_share_that_the_formula_gives():
    """BERT-base at 20 %: each masked q or v weight keeps 471,859 entries and an adapter of 24,576 + 64 beside it."""
    _, found = planned("task=rte", "backbone=bert-base", "method=dsee")
    spec = found.final
    qv, rest = 24 * 768 * 768, 12 * (2 * 768 * 768 + 2 * 768 * 3072) + 768 * 768
    kept = qv - round(0.2 * qv) + rest - round(0.2 * rest)
    assert spec.nnz == spec.total - (qv + rest - kept)
    dense = 22_348_431_360
    saved = 2 * 128 * (0.2 * (qv + rest - 768 * 768) - 24 * (16 * 1536 + 64)) + 2 * 0.2 * 768 * 768
    flops = cost.forward_flops(spec, 128)
    assert flops == pytest.approx(dense - saved, rel=1e-6)


def test_a_dense_weight_takes_its_update_in_for_nothing_and_a_masked_one_keeps_it_apart():
    _, found = planned("task=rte", "backbone=bert-base", "method=dsee")
    dense, masked = found.steps[2].spec.weights[0], found.final.weights[0]
    assert cost.weight_flops(dense, 1) == 2 * 768 * 768
    assert cost.weight_flops(masked, 1) == 2 * (masked.nnz + 16 * 1536 + 64)


def test_frozen_factors_beside_a_masked_weight_are_multiplied_by_too():
    """VeRA trains two vectors of 8 and 64 numbers around frozen matrices (8, 32) and (64, 8)."""
    weight = METHODS["VERA"].count(dense(Site("q", "query", 0), 64, 32), {"r": 8})
    assert weight.adapter == 8 + 64
    assert cost.weight_flops(weight, 1) == 2 * 64 * 32, "merged"
    assert cost.weight_flops(replace(weight, nnz=1000, merges=False), 1) == 2 * (1000 + 8 * (64 + 32))


@pytest.mark.parametrize("method", ["full", "dsee", "dsee_update"])
def test_no_pruning_at_zero_sparsity(method):
    """A wrong turn of the field: pruning of 0 % crashes."""
    overrides = ["method.stages.prune.sparsity=0"] if method == "dsee" else []
    _, found = planned(f"method={method}", *overrides)
    assert found.final.nnz == found.final.total


TYPES = {
    name: OmegaConf.load(config.CONF / "backbone" / f"{name}.yaml").model_type
    for name in config.options("backbone")
    if name != "auto"
}
# A large one has more layers of the same kind.
COUNTED = [pytest.param(name, marks=[pytest.mark.slow] * name.endswith(("-large", "-medium"))) for name in TYPES]
WRITERS = [each for each in COUNTED if families()[TYPES[each.values[0]]].generates]


def real_model(backbone, auto_class, **head):
    """transformers' own model of a backbone, as the stages see it, of the current device or mode."""
    settings = AutoConfig.for_model(
        backbone.model_type, attn_implementation="eager", pad_token_id=0, **head, **backbone.config_settings()
    )
    with no_init_weights():
        model = auto_class.from_config(settings).eval()
    model.tie_weights()
    split(model)
    return model


@pytest.mark.parametrize("name", COUNTED)
def test_spec_equals_the_real_model(name):
    settings, found = planned("task=rte", f"backbone={name}", "method=full")
    check_against(
        found.before,
        lambda: real_model(settings.backbone, AutoModelForSequenceClassification, num_labels=2),
        lambda model: model.base_model,
    )


@pytest.mark.parametrize("name", WRITERS)
def test_spec_equals_the_real_language_model(name):
    settings, _ = planned("task=rte", f"backbone={name}", "method=full")
    check_against(
        settings.backbone.spec(None),
        lambda: real_model(settings.backbone, AutoModelForCausalLM),
        lambda model: model,
    )


PUBLISHED = [
    # backbone,        parameters,  origin
    ("gpt2", 124_439_808, "transformers' num_parameters of GPT2LMHeadModel"),
    ("gpt2-medium", 354_823_168, "the same"),
    ("gpt2-large", 774_030_080, "the same"),
    ("smollm2", 134_515_008, "the hub's model page, in safetensors' own count"),
]


@pytest.mark.parametrize(("name", "parameters", "origin"), PUBLISHED)
def test_language_models_have_their_published_size(name, parameters, origin):
    settings, _ = planned("task=rte", f"backbone={name}", "method=full")
    assert settings.backbone.spec(None).total == parameters, origin


def test_gpt2_flops_with_its_unembedding():
    settings, _ = planned("task=rte", "backbone=gpt2", "method=full")
    flops = cost.forward_flops(settings.backbone.spec(None), 128)
    assert flops == 32_228_179_968, "FlopCounterMode on GPT2LMHeadModel, torch 2.13.0, eager"


def test_position_bits():
    _, found = planned("task=rte", "backbone=bert-base", "method=dsee_update")
    assert cost.position_bits(found.final) == 24 * 64 * 20  # 589,824 positions need 20 bits


ESTIMATES = [
    # words, the plan's columns that are estimates in the end, why
    ("method=full", [], "nothing is removed"),
    ("method=dsee_structured", ["adapter", "trainable", "nnz", "total"], "sparse entries of removed rows go along"),
    ("method=dsee_structured method.stages.sparse.placement=none", [], "low rank alone loses a known share"),
    ("method=dsee", ["flops"], "where zeros fall decides how much an adapter beside them costs"),
    ("method=dsee_masked", ["flops"], "the pooler sees one token, the others all"),
    ("method=omp backbone=gpt2 task=e2e", [], "every weight sees all tokens, no update"),
    ("method=omp method.stages.prune.scope=row", [], "each row keeps its share"),
    ("method=omp_2_4", [], "each four keep two"),
    ("method=dsee_gradual", ["flops"], "as in one shot"),
]


@pytest.mark.parametrize(("words", "names", "why"), ESTIMATES)
def test_a_plan_marks_what_is_an_estimate(words, names, why):
    defaults = [] if "task=" in words else ["backbone=bert-base", "task=rte"]
    _, found = planned(*defaults, *words.split())
    said = json.loads(plan_text.as_json(found))
    assert said["estimates"] == said["stages"][-1]["estimates"] == names, why
    assert said["stages"][0]["estimates"] == [], "nothing before the stage that makes it one"
    last = plan_text.as_text(found).splitlines()[1 + len(found.steps) + 2]
    assert last.count("~") == sum(2 if name == "flops" else 1 for name in names), "GFLOPs and the share saved"
    assert ("~ is an estimate" in plan_text.as_text(found)) == bool(names)
