"""Every experiment file composes and plans over its whole sweep, and says rightly how many runs it is."""

import functools
import re

import pytest

from dsee_bench import config, plan
from dsee_bench.runs import sweep

EXPERIMENTS = config.options("experiment")


@functools.cache
def swept(name):
    """Each swept key of the experiment with its values, as the command line writes them."""
    params = config.compose([f"experiment={name}"], hydra_too=True).hydra.sweeper.params or {}
    overrides = [config.parse(f"{key}={value}") for key, value in params.items()]
    return {
        each.key_or_group: list(each.sweep_string_iterator()) if each.is_sweep_override() else [str(each.value())]
        for each in overrides
    }


def test_the_grids_of_the_paper_are_there():
    grids = {"glue", "glue_large", "sparsity_curve", "where_omega_sits", "rank_k_ablation", "structured"}
    assert grids | {"nlg_full", "nlg_lora", "nlg_dsee"} <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_value_of_the_sweep_plans(name):
    values = swept(name)
    first = {key: each[0] for key, each in values.items()}
    cells = [first] + [{**first, key: value} for key, each in values.items() if key != "seed" for value in each[1:]]
    for cell in cells:
        words = [f"experiment={name}", *(f"{key}={value}" for key, value in cell.items())]
        planned = plan.plan(plan.read(sweep.resolved(words)))
        assert planned.run_id


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_says_how_many_runs_it_is(name):
    values = swept(name)
    runs = 1
    for each in values.values():
        runs *= len(each)
    said = re.search(r"^# (\d+) runs", (config.CONF / "experiment" / f"{name}.yaml").read_text(), re.MULTILINE)
    if said is None:
        assert runs <= 5, "few enough to be counted in the file"
    else:
        assert int(said[1]) == runs
