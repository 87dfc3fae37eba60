"""Costs that are measured: they are there when asked for, say what they are of, and the disk is the file's."""

from omegaconf import OmegaConf

from dsee_bench import config, record
from dsee_bench.run import run

ALWAYS = 12  # costs of every record
ASKED = ["latency_ms", "latency_dense_ms", "tokens_per_second", "disk_bytes"]


def run_tiny(folder, *overrides):
    asked = [
        "backbone=tiny-bert",
        "train.max_rows=32",
        "train.epochs=1",
        "threads=1",
        f"results_dir={folder}",
        *overrides,
    ]
    content = OmegaConf.to_container(config.compose(asked), resolve=True)
    assert run(content) == 0
    return record.read(record.path_of(config.run_id(content), folder))


def test_latency_and_disk_are_measured_where_asked(tmp_path):
    packed = ["method=omp", "method.stages.prune.sparsity=0.5", "train.retune_epochs=1", "export_storage=bitmask"]
    found = run_tiny(tmp_path, *packed, "measure=true", f"export={tmp_path}/out")
    costs = {cost.name: cost for cost in found.costs}
    assert list(costs)[-4:] == ASKED
    for name in ("latency_ms", "latency_dense_ms"):
        assert costs[name].value > 0
        assert "cpu, 1 threads, 32 x 128 tokens" in costs[name].counts
        assert "median of 7, quartiles" in costs[name].counts
    assert costs["disk_bytes"].value == (tmp_path / "out" / "weights.safetensors").stat().st_size
    assert "bitmask" in costs["disk_bytes"].counts
    assert round(costs["tokens_per_second"].value * costs["latency_ms"].value / 1000) == 32 * 128


def test_nothing_is_timed_unless_asked(tmp_path):
    found = run_tiny(tmp_path, "method=full")
    assert len(found.costs) == ALWAYS
    assert not {cost.name for cost in found.costs} & set(ASKED)
