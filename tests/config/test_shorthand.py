"""A variant by its own name."""

import pytest

from dsee_bench.config import ConfigError
from dsee_bench.config.shorthand import spelled_out


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
    monkeypatch.setattr("dsee_bench.config.shorthand.options", lambda group: ["one", "two", "rte"])
    assert spelled_out(["task=rte"]) == ["task=rte"]
    with pytest.raises(ConfigError, match=r"task=one task.variant=mine or task=two task.variant=mine"):
        spelled_out(["task=mine"])
