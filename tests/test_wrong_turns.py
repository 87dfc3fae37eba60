"""Every wrong turn that code of this field has taken, by name."""

import pytest
import torch

import dsee_bench
from dsee_bench import plan
from dsee_bench.deploy.export import export, outputs_of
from dsee_bench.deploy.peft_form import Base
from dsee_bench.metrics import score
from dsee_bench.models.access import weight_of
from dsee_bench.runs import pipeline
from dsee_bench.stages.tune import Tune, choose_trainable, head_parameters

RUN = ["backbone=tiny-bert"]


def untuned(compose_run, folder, *overrides):
    """The state after every stage but the tunings."""
    settings = compose_run(*overrides)
    state, _ = pipeline.prepare(settings, folder)
    for name, stage in settings.stages.items():
        if not isinstance(stage, Tune):
            pipeline.run_stage(settings, state, name, folder)
    return settings, state


def logits(model, state):
    model.eval()
    with torch.no_grad():
        return model(**state.setup.tokenizer(["one text", "another"], return_tensors="pt", padding=True)).logits


def test_the_update_starts_at_zero(compose_run, tmp_path):
    """The field: from_pretrained starts U and S2 by its generic rule. `dsee_authors` does so on purpose, by name."""
    _, bare = untuned(compose_run, tmp_path, "method=full")
    _, ours = untuned(compose_run, tmp_path, "method=dsee_update")
    asked = ["method=dsee_authors", "method.stages.sparse.placement=random", "method.stages.prune.sparsity=0"]
    _, theirs = untuned(compose_run, tmp_path, *asked)
    before = logits(bare.model, bare)
    assert torch.equal(logits(ours.model, ours), before)
    assert not torch.equal(logits(theirs.model, theirs), before)


EMPTY = [
    # settings of the prune stage,          zeros,  why
    ("kinds_rest=[pooler]", 0.2, "RoBERTa has no pooler: that pool is left out, the other is pruned"),
    ("sparsity=0", 0.0, "0 % keeps every entry"),
    ("sparsity_qv=0", None, "one pool at 0 %"),
]


@pytest.mark.parametrize(("asked", "zeros", "why"), EMPTY)
def test_an_empty_pool_or_nothing_to_prune_does_not_crash(compose_run, asked, zeros, why, tmp_path):
    _, state = untuned(compose_run, tmp_path, "backbone=tiny-roberta", "method=omp", f"method.stages.prune.{asked}")
    pruned = [w for w in state.spec.weights if w.site.kind in ("query", "value")]
    share = 1 - sum(w.nnz for w in pruned) / sum(w.size for w in pruned)
    assert share == pytest.approx(zeros or 0.0, abs=1e-3), why


@pytest.mark.parametrize("score_name", ["W", "UV", "update", "W+UV", "W+update", "inverse_update", "random"])
def test_scoring_does_not_lose_the_pretrained_weight(compose_run, score_name, tmp_path):
    """The field: the adapter is added into W to score it, and W is restored from the scores."""
    settings = compose_run("method=dsee", f"method.stages.prune.score={score_name}")
    state, _ = pipeline.prepare(settings, tmp_path)
    first = {w.site: weight_of(state.model, w.site).clone() for w in state.spec.weights}
    for name in ("low_rank", "sparse", "prune"):
        pipeline.run_stage(settings, state, name, tmp_path)
    for weight in state.spec.weights:
        seen = weight_of(state.model, weight.site)
        assert torch.equal(seen, first[weight.site] * (seen != 0)), weight.site.path


@pytest.mark.parametrize(("backbone", "heads"), [("tiny-bert", 4), ("bert-base", 12), ("bert-large", 16)])
def test_heads_are_not_hard_wired_to_twelve(compose_run, backbone, heads):
    planned = plan.plan(compose_run("method=dsee_structured", f"backbone={backbone}"))
    assert set(planned.before.attention) == {heads}
    assert set(planned.final.attention) == {heads * 3 // 4}


@pytest.mark.parametrize("backbone", ["tiny-bert", "tiny-roberta", "tiny-deberta", "tiny-gpt2"])
def test_no_backbone_is_forgotten_in_a_name_test(compose_run, backbone, tmp_path):
    """The field: only names that start with "bert" are frozen, so RoBERTa trains as a whole."""
    asked = [f"backbone={backbone}", "method=dsee_update", "method.stages.low_rank.rank=4"]
    _, state = untuned(compose_run, tmp_path, *asked)
    choose_trainable(state, "adapter")
    head = head_parameters(state)
    trained = {name for name, value in state.model.named_parameters() if value.requires_grad}
    assert head < trained
    assert all("dsee_" in name for name in trained - head)


def test_a_pruned_model_loads_again(compose_run, tmp_path):
    settings, state = untuned(compose_run, tmp_path, "method=omp")
    export(
        state.model,
        state.adapters,
        state.spec,
        settings.backbone.spec(settings.labels),
        state.setup.tokenizer,
        outputs_of(state.setup),
        tmp_path / "out",
        base=Base(settings.backbone.name),
        folding="merged",
        storage="bitmask",
        force=False,
    )
    assert torch.equal(logits(dsee_bench.load(tmp_path / "out"), state), logits(state.model, state))


def test_dense_s2_is_not_counted_as_trainable(compose_run, tmp_path):
    """The field: S2 as 24 masked Linear modules is 24 x 768 x 768 = 14,155,776 of 14.7 M. Here it is 24 x 64."""
    planned = plan.plan(compose_run("method=dsee_update", "backbone=bert-base", "task=rte")).final
    assert planned.adapter == 24 * 16 * (768 + 768) + 24 * 64
    _, state = untuned(compose_run, tmp_path, "method=dsee_update")
    held = sum(value.numel() for name, value in state.model.named_parameters() if "dsee_s2" in name)
    assert held == 4 * 64


@pytest.mark.parametrize("short", ["answers", "references"])
def test_answers_and_references_must_pair(short):
    sides = {"answers": [1, 0, 1], "references": [1, 0, 1]}
    sides[short] = sides[short][:2]
    with pytest.raises(ValueError, match="they must pair"):
        score(["accuracy"], sides["answers"], sides["references"], "dev")


def test_seeds_do_not_overwrite_each_other(compose_run):
    names = {compose_run(f"seed={seed}").run_id for seed in range(3)}
    assert len(names) == 3


def test_seed_zero_is_a_seed(compose_run, tmp_path):
    """The field: `if seed:` leaves seed 0 to chance. Two runs of it start alike, and unlike seed 1."""
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(heads))
        state, _ = pipeline.prepare(compose_run(f"seed={seed}"), tmp_path)
        heads.append(state.model.classifier.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
