"""A sweep over pruning ratios tunes what its runs have in common once a seed."""

import pytest
from omegaconf import OmegaConf

from dsee_bench import config, record
from dsee_bench.run import run

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SMALLEST = [
    *("method=dsee", "backbone=tiny-bert", "task=toy_pairs", "task.rows.dev=8", "threads=1"),
    *("train.max_rows=32", "train.epochs=1", "train.retune_epochs=1", "method.stages.sparse.where=random"),
]


@pytest.mark.slow
def test_six_ratios_and_two_seeds_tune_the_first_stage_twice(tmp_path):
    for seed in (0, 1):
        for ratio in RATIOS:
            words = [f"seed={seed}", f"method.stages.prune.sparsity={ratio}", f"results_dir={tmp_path}"]
            resolved = OmegaConf.to_container(config.compose([*SMALLEST, *words]), resolve=True)
            assert run(resolved) == 0
    records = list(record.read_all(tmp_path))
    assert len(records) == 12
    tuned = dict.fromkeys(("tune", "retune"), 0)
    for log in [log for found in records for log in found.stages if log.name in tuned]:
        tuned[log.name] += "reused" not in log.facts
    assert tuned == {"tune": 2, "retune": 12}
    assert len({found.cost("sparsity_masked") for found in records}) == 6
