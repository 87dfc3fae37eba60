"""Costs that are measured: they are there when asked for, say what they are of, and the disk is the file's."""

from dataclasses import replace

import torch

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.runs import sweep
from dsee_bench.stages.tune import Tune

ALWAYS = 12  # costs of every record
ASKED = ["latency_ms", "latency_dense_ms", "tokens_per_second", "disk_bytes"]


def run_tiny(folder, *overrides):
    asked = [
        "backbone=tiny-bert",
        "train.max_rows=32",
        "train.epochs=1",
        f"results_dir={folder}",
        *overrides,
    ]
    content = sweep.resolved(asked)
    assert run(content, [word for word in overrides if word.startswith("measure")]) == 0
    return record.read(record.path_of(config.run_id(content), folder))


def test_latency_and_disk_are_measured_where_asked(tmp_path):
    packed = ["method=omp", "method.stages.prune.sparsity=0.5", "train.retune_epochs=1", "export_storage=bitmask"]
    found = run_tiny(tmp_path, *packed, "measure=true", f"export={tmp_path}/out")
    costs = {cost.name: cost for cost in found.costs}
    assert list(costs)[-4:] == ASKED
    for name in ("latency_ms", "latency_dense_ms"):
        assert costs[name].value > 0
        assert f"cpu, {torch.get_num_threads()} threads, 32 x 128 tokens" in costs[name].counts
        assert "median of 7, quartiles" in costs[name].counts
    assert costs["disk_bytes"].value == (tmp_path / "out" / "weights.safetensors").stat().st_size
    assert "bitmask" in costs["disk_bytes"].counts
    assert round(costs["tokens_per_second"].value * costs["latency_ms"].value / 1000) == 32 * 128


def test_a_run_that_is_done_is_measured_without_tuning_again(tmp_path, monkeypatch):
    done = run_tiny(tmp_path, "method=omp", "train.retune_epochs=1")
    monkeypatch.setattr(Tune, "run", None)  # whoever tunes fails
    found = run_tiny(tmp_path, "method=omp", "train.retune_epochs=1", "measure=true")
    assert [cost.name for cost in found.costs] == [*(cost.name for cost in done.costs), *ASKED]
    measured = found.made_by["measured"]
    assert measured["command"] == "dsee-bench measure=true"
    assert measured["threads"] == torch.get_num_threads()
    made_by = {key: value for key, value in found.made_by.items() if key != "measured"}
    assert replace(found, costs=found.costs[:ALWAYS], made_by=made_by) == done, "all else stays as it was"


def test_what_was_measured_is_measured_again_only_if_asked(tmp_path, capsys):
    first = run_tiny(tmp_path, "method=full", "measure=true")
    capsys.readouterr()
    assert run_tiny(tmp_path, "method=full", "measure=true") == first
    assert "measure=again" in capsys.readouterr().out
    second = run_tiny(tmp_path, "method=full", "measure=again")
    assert [cost.name for cost in second.costs] == [cost.name for cost in first.costs]
    assert second.cost("latency_ms") != first.cost("latency_ms")
    assert second.cost("disk_bytes") == first.cost("disk_bytes")


def test_nothing_is_timed_unless_asked(tmp_path):
    found = run_tiny(tmp_path, "method=full")
    assert len(found.costs) == ALWAYS
    assert not {cost.name for cost in found.costs} & set(ASKED)
