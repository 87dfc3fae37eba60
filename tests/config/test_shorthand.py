"""A variant by its own name."""

import pytest

from dsee_bench.config import ConfigError, check_overrides
from dsee_bench.config.shorthand import spelled_out
from dsee_bench.runs import sweep


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["task=viggo", "seed=1"], ["task=data_to_text", "task.variant=viggo", "seed=1"]),
        (["backbone=gpt2", "task=wikitext103"], ["backbone=gpt2", "task=wikitext", "task.variant=wikitext103"]),
        (["task=rte"], ["task=rte"]),
        (["task=rte,cola"], ["task=rte,cola"]),
        (["task=nothing"], ["task=nothing"]),
        (["task=data_to_text", "task.variant=viggo"], ["task=data_to_text", "task.variant=viggo"]),
        (["method=viggo"], ["method=viggo"]),
    ],
)
def test_what_a_name_is_short_for(words, meant):
    assert spelled_out(words) == meant


def test_an_option_comes_before_a_variant_and_two_families_are_named(monkeypatch):
    monkeypatch.setattr("dsee_bench.config.shorthand.option", lambda group, name: {"variants": {"mine": {}, "rte": {}}})
    monkeypatch.setattr("dsee_bench.config.shorthand._families", lambda: ["one", "two"])
    assert spelled_out(["task=rte"]) == ["task=rte"]
    with pytest.raises(ConfigError, match=r"task=one task.variant=mine or task=two task.variant=mine"):
        spelled_out(["task=mine"])


def test_variants_stand_among_the_tasks_of_a_sweep():
    cells = sweep.expand(["task=mr,rte,trec6", "backbone=tiny-bert", "method=lora"])
    assert [cell.run_id.split("-")[0] for cell in cells] == ["mr", "rte", "trec6"]
    (spelled,) = sweep.expand(["task=sentences", "task.variant=mr", "backbone=tiny-bert", "method=lora"])
    assert cells[0].run_id == spelled.run_id


def test_a_variant_is_proposed_for_a_name_that_is_near_it():
    with pytest.raises(ConfigError, match="'trec' is no option of task; did you mean 'trec6'"):
        check_overrides(["task=trec"])
