"""Budgets: what must go so that the final model costs no more than asked, checked by plan, by file and by the clock."""

import json
from dataclasses import replace

import pytest

from dsee_bench import plan
from dsee_bench.config import ConfigError
from dsee_bench.plan import budget
from dsee_bench.plan import text as plan_text
from dsee_bench.record import read
from dsee_bench.runs import lifecycle, sweep

RUN = ["task=toy_pairs", "method=dsee_structured", "backbone=mpnet-base"]  # by its numbers: no weight is loaded
TINY = ["backbone=tiny-bert", "backbone.ffn=4096", "backbone.heads=4", "task=toy_pairs", "method=dsee_structured"]


def by_hand(heads, ffn):
    """A model in which heads cost 40 and neurons 60."""
    return 40 * (1 - heads) + 60 * (1 - ffn)


@pytest.mark.parametrize(
    ("most", "pair"),
    [  # of four heads and ten neurons: a quarter of the heads saves 10, a tenth of the neurons 6
        (75, (0.25, 0.3)),  # 10 + 3 x 6 = 28 saved, 0.05 apart; without heads five neurons of ten, 0.5 apart
        (50, (0.5, 0.5)),  # 20 + 30
        (100, (0.0, 0.0)),
        (18, (0.75, 0.9)),  # 30 + 54 = 84: all that can go is 30 + 54
        (15, None),
    ],
)
def test_the_pair_of_closest_shares_is_taken(most, pair):
    pairs = [(heads / 4, lambda n: n / 10, 9) for heads in range(4)]
    found = budget.closest(pairs, by_hand, most)
    assert found == (pair if pair is None else pytest.approx(pair))


@pytest.mark.parametrize("asked", [0.1, 0.25, 0.35, 0.6])
@pytest.mark.parametrize("backbone", ["mpnet-base", "gpt2", "smollm2"])
def test_flops_saved_are_at_least_those_asked_for(compose_run, backbone, asked):
    task = "toy_pairs" if backbone == "mpnet-base" else "toy_d2t"
    found = plan.plan(compose_run(f"budget.saved={asked}", f"backbone={backbone}", f"task={task}"))
    assert asked <= found.flops(found.final).saved < asked + 0.005


def test_a_quarter_of_the_flops_is_the_papers_quarter_of_heads_and_neurons(compose_run):
    stage = compose_run("budget.saved=0.25", "backbone=bert-base").stages["narrow"]
    assert stage.heads == 0.25
    assert stage.ffn == pytest.approx(0.25, abs=0.002)


def test_the_words_that_a_plan_prints_give_the_same_run(compose_run):
    settings = compose_run("budget.saved=0.35")
    words = budget.words(settings)
    assert compose_run(*words).run_id == settings.run_id != compose_run().run_id
    assert [word.partition("=")[0] for word in words] == ["method.stages.narrow.heads", "method.stages.narrow.ffn"]


def test_heads_that_a_method_keeps_stay(compose_run):
    stage = compose_run("budget.saved=0.2", "method.stages.narrow.heads=0").stages["narrow"]
    assert stage.heads == 0
    assert stage.ffn > 0.25


def test_the_rank_is_the_largest_within_the_share(compose_run):
    """By hand, BERT-base's query and value: R (768 + 768) x 24 + 64 x 24 of 109,482,240 parameters."""
    settings = compose_run("method=dsee_update", "backbone=bert-base", "budget.trained=0.005")
    assert settings.stages["low_rank"].rank == (0.005 * 109_482_240 - 64 * 24) // (1536 * 24) == 14
    assert settings.stages["low_rank"].alpha == 28, "alpha / R stays 2"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["budget.saved=0.99"], r"budget\.saved=0\.99 is out of reach .* it saves 0\.9"),
        (["budget.megabytes=1"], r"the whole model has 4[0-9.]+ MB, and with a head"),
        (["budget.megabytes=5000"], "out of reach of method dsee_structured: the whole model has"),
        (["budget.trained=0.000001"], "at rank 1 the adapter is"),
        (["budget.saved=0.3", "method=lora"], "needs a method with one stage that removes heads and neurons, and lora"),
        (["budget.trained=0.01", "method=full"], "attaches a low-rank update, and full has 0; .* method=dsee_update"),
        (["budget.saved=0.3", "budget.megabytes=300"], "choose the same heads and neurons; give one"),
        (["budget.saved=1"], r"budget\.saved must lie in \(0, 1\)"),
        (["budget.latency_ms=5"], "is measured, .* add plan=true"),
    ],
)
def test_what_cannot_be_met_is_said(compose_run, words, says):
    with pytest.raises(ConfigError, match=says):
        compose_run(*words)


def test_the_file_has_the_megabytes_asked_for_and_the_record_the_flops(tmp_path):
    words = [*TINY, f"results_dir={tmp_path}", f"export={tmp_path / 'small'}", "train.max_rows=32", "train.epochs=1"]
    planned = plan.plan(plan.read(sweep.resolved(words)))
    dense = (planned.before.pretrained + planned.before.head) * 4e-6
    asked = 0.9 * dense
    words = [*words, f"budget.megabytes={asked}"]
    assert lifecycle.run(sweep.resolved(words), words) == 0
    written = sum(p.stat().st_size for p in (tmp_path / "small").glob("*.safetensors")) / 1e6
    assert 0.95 * asked < written < 1.01 * asked, "safetensors has a header of some kilobytes"
    (path,) = (tmp_path / "runs").glob("*.json")
    saved = next(cost.value for cost in read(path).costs if cost.name == "flops_saved")
    final = plan.plan(plan.read(sweep.resolved(words)))
    assert saved == pytest.approx(final.flops(final.final).saved)


def test_a_plan_says_what_it_chose(compose_run):
    settings = compose_run("budget.saved=0.35")
    planned = replace(plan.plan(settings), chosen=tuple(budget.words(settings)))
    assert f"The budget is met by {' '.join(planned.chosen)}." in plan_text.as_text(planned)
    assert json.loads(plan_text.as_json(planned))["chosen"] == list(planned.chosen)


def test_a_time_asked_for_is_kept_by_a_model_of_the_clock(compose_run, monkeypatch):
    """The clock is a made-up one: 100 ms, of which heads are 30 and neurons 50, and 3 % more than a line says."""

    def clock(settings, heads, ffn):
        bend = 1.03 if (heads, ffn) not in ((0.5, 0.0), (0.0, 0.5)) else 1.0
        return bend * (100 - 30 * heads - 50 * ffn), 100.0

    monkeypatch.setattr(budget, "timed", clock)
    stage = compose_run("budget.latency_ms=70", "plan=true").stages["narrow"]
    assert 0.97 * 70 <= clock(None, stage.heads, stage.ffn)[0] <= 70


def test_a_time_that_is_missed_every_time_is_said(compose_run, monkeypatch):
    halves = {(0.5, 0.0): 85.0, (0.0, 0.5): 75.0}  # what they promise, no other model keeps
    monkeypatch.setattr(budget, "timed", lambda _, *shares: (halves.get(shares, 90.0), 100.0))
    with pytest.raises(ConfigError, match=r"was missed 3 times, the last choice takes 90\.0 ms; plan on an idle"):
        compose_run("budget.latency_ms=80", "plan=true")


def test_the_clock_times_a_narrowed_model(compose_run):
    settings = compose_run("backbone=tiny-bert", "threads=1")
    final, dense = budget.timed(settings, 0.5, 0.9)
    assert 0 < final < dense
