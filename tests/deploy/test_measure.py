"""Costs that are measured: they are there when asked for, say what they are of, and the disk is the file's."""

import re
from dataclasses import replace

import pytest
import torch

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.runs import sweep
from dsee_bench.stages.tune import Tune

ALWAYS = 12  # costs of every record
ASKED = ["latency_ms", "latency_dense_ms", "latency_ratio", "tokens_per_second", "disk_bytes"]
QUICK = 0.5  # seconds of timing: a shared machine would take the whole 300


def run_tiny(folder, *overrides):
    asked = [
        "backbone=tiny-bert",
        "train.max_rows=32",
        "train.epochs=1",
        f"measure_seconds={QUICK}",
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
    assert list(costs)[-5:] == ASKED
    assert found.engines == (), "nothing is scored again unless asked"
    capability = torch.backends.cpu.get_cpu_capability()
    for name in ("latency_ms", "latency_dense_ms"):
        assert costs[name].value > 0
        where = f"{capability}), {torch.get_num_threads()} threads, 32 x 128 tokens, fp32, torch {torch.__version__}; "
        assert where in costs[name].counts
        assert re.search(r"median in turn, quartiles [\d.]+ and [\d.]+ of \d+ rounds$", costs[name].counts)
    assert re.search(r"95 % interval|the ratio is known to ± [\d.]+%, not 2%", costs["latency_ratio"].counts)
    assert found.made_by["isa"].split()[0] == capability
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


def test_engines_are_timed_scored_again_and_added_to_a_finished_run(tmp_path, monkeypatch):
    words = ["method=omp", "method.stages.prune.sparsity=0.5", "train.retune_epochs=1", "measure=true"]
    first = run_tiny(tmp_path, *words, "measure_engines=[torch,torch_bsr]")
    dev = [score for score in first.scores if score.split == "dev"]
    timed, refused = first.engines
    assert (timed.engine, timed.reason) == ("torch", None)
    assert [(score.name, score.split, score.n) for score in timed.scores] == [(s.name, s.split, s.n) for s in dev]
    assert timed.scores[0].value == pytest.approx(dev[0].value, abs=0.02)  # the run's own may be of bfloat16
    assert (timed.batch, timed.tokens, timed.precision) == (32, 128, "fp32")
    assert first.cost("latency_ms") == timed.latency_ms, "torch is timed once"
    assert refused.reason.startswith("no linear weight has half of its zeros in blocks")
    monkeypatch.setattr(Tune, "run", None)  # whoever tunes fails
    second = run_tiny(tmp_path, *words, "measure_engines=[torch,torch_csr]")
    assert second.engines[:2] == first.engines
    assert [found.engine for found in second.engines] == ["torch", "torch_bsr", "torch_csr"]
    assert second.engines[2].scores == timed.scores, "the same model"
    assert second.costs == first.costs
    assert second.made_by["measured"]["command"].startswith("dsee-bench measure=true")


REFUSED = [
    (["measure_engines=[torch]"], "measure_engines says what measure=true times; add measure=true"),
    (["measure=true", "measure_engines=[torhc]"], "no engine 'torhc'; did you mean 'torch'"),
    (["measure_energy=true"], "measure_energy says what measure=true times"),
    (["export_onnx=true", "export=out", "export_quantize=int4"], "export_quantize"),
    (["export=out", "export_quantize=int8"], "export_quantize=int8 is of the ONNX file; add export_onnx=true"),
]


@pytest.mark.parametrize(("asked", "message"), REFUSED)
def test_what_cannot_be_measured_is_refused_at_once(asked, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run_tiny(tmp_path, *asked)
    assert not list(tmp_path.iterdir())
