"""The neighbour that each method states: the one to compare it with, tuned as long."""

import pytest

from dsee_bench import config
from dsee_bench.report.notes import neighbour
from dsee_bench.runs import sweep

WORDS = ["task=rte", "backbone=minilm", "train=glue_small"]  # three epochs a tuning
ONE_EPOCH_MORE = "earlybert"  # its search


def method(name):
    return config.resolve(config.compose([f"method={name}", *WORDS]))["method"]


def epochs(name):
    """Of all tunings since the last rewind."""
    stages = list(method(name)["stages"].values())
    since = max((at for at, stage in enumerate(stages) if stage["_target_"].endswith("Rewind")), default=0)
    return sum(stage.get("epochs") or 0 for stage in stages[since:])


@pytest.mark.parametrize("name", config.options("method"))
def test_a_neighbour_is_a_method_that_is_tuned_as_long(name):
    stated = method(name)["neighbour"]
    assert stated == neighbour(name.replace("peft/", "peft_"))
    if stated is None:
        assert name in ("full", "full_twice", "untuned", "majority")
    else:
        assert stated in config.options("method")
        assert epochs(name) == epochs(stated) + (name == ONE_EPOCH_MORE)


def test_it_changes_no_run():
    resolved = sweep.resolved(["method=dsee", *WORDS])
    assert resolved["method"]["neighbour"] == "lora_twice"
    assert "neighbour" not in config.identity(resolved)["method"]
    other = sweep.resolved(["method=dsee", *WORDS, "method.neighbour=full"])
    assert config.run_id(other) == config.run_id(resolved)
