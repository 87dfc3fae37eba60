"""What the runs of a sweep have in common is tuned once: pruning ratios, and methods that begin alike."""

import pytest

from dsee_bench import record
from dsee_bench.cache import store
from dsee_bench.cli.bench import run
from dsee_bench.runs import sweep

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SMALLEST = [
    *("method=dsee", "backbone=tiny-bert", "task=toy_pairs", "task.rows.dev=8"),
    *("train.max_rows=32", "train.epochs=1", "train.retune_epochs=1", "method.stages.sparse.placement=random"),
]


@pytest.mark.slow
def test_six_ratios_and_two_seeds_tune_the_first_stage_twice(tmp_path):
    for seed in (0, 1):
        for ratio in RATIOS:
            words = [f"seed={seed}", f"method.stages.prune.sparsity={ratio}", f"results_dir={tmp_path}"]
            resolved = sweep.resolved([*SMALLEST, *words])
            assert run(resolved) == 0
    records = list(record.read_all(tmp_path))
    assert len(records) == 12
    tuned = dict.fromkeys(("tune", "retune"), 0)
    for log in [log for found in records for log in found.stages if log.name in tuned]:
        tuned[log.name] += "reused" not in log.facts
    assert tuned == {"tune": 2, "retune": 12}
    assert len({found.cost("sparsity_masked") for found in records}) == 6


@pytest.mark.parametrize(
    ("method", "like", "shared"),
    [
        ("full_twice", "full", ["tune"]),
        ("omp", "full", ["tune"]),
        ("imp", "full", ["tune"]),
        ("dsee", "dsee_update", ["low_rank", "sparse", "tune"]),
        ("dsee_magnitude", "dsee_update", ["low_rank"]),
        ("lora", "full", []),
    ],
)
def test_methods_that_begin_alike_share_their_first_stages(method, like, shared):
    found = []
    for name in (method, like):
        resolved = sweep.resolved([f"method={name}", "backbone=tiny-bert"])
        found.append(dict(zip(store.keys(resolved, {}), resolved["method"]["stages"], strict=True)))
    assert [name for key, name in found[0].items() if key in found[1]] == shared
