"""A run whose weights two processes share (FSDP2, gloo, CPU) is that of one process: losses, masks, record, export."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
import torch
from torch.distributed.tensor import DTensor

from dsee_bench import load, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.runs import sweep
from dsee_bench.system import distributed
from dsee_bench.system.errors import UserError
from dsee_bench.training.sharded import sharding, whole_tensor

# A model without dropout, whose draws are other ones in each process; 96 rows are three whole batches.
RUN = [
    *("task=toy_pairs", "backbone=tiny-llama", "task.rows.dev=50", "threads=1", "train.precision=fp32", "device=cpu"),
    *("train.max_rows=96", "train.epochs=2", "train.retune_epochs=1", "train.lr_adapter=1e-2"),
]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dsee_bench.cli.bench"]
ENVIRONMENT = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}
NOISE = 1e-5  # gradients are summed in another order
PARTS = "train.gradient_accumulation_steps=2"


def sharded(*words):
    environment = {**os.environ, **ENVIRONMENT}
    return subprocess.run([*TORCHRUN, *words], capture_output=True, text=True, timeout=280, env=environment)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("words", [
    ("method=dsee", PARTS),
    ("method=full",),
    ("method=lora", "backbone.dtype=bfloat16", "train.gradient_checkpointing=true"),
], ids=["dsee", "full", "lora"])  # fmt: skip
def test_a_sharded_run_is_that_of_one_process(words, tmp_path):
    done = sharded(*RUN, *words, f"results_dir={tmp_path / 'two'}", f"export={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert run(sweep.resolved([*RUN, *words, f"results_dir={tmp_path / 'one'}", f"export={tmp_path / 'plain'}"])) == 0
    (two,), (one,) = record.read_all(tmp_path / "two"), record.read_all(tmp_path / "one")
    assert two.run_id == one.run_id
    assert two.costs == one.costs
    assert two.score("accuracy") == one.score("accuracy")
    for mine, other in zip(two.stages, one.stages, strict=True):
        losses = [[point["loss"] for point in stage.facts.get("curve", [])] for stage in (mine, other)]
        assert losses[0] == pytest.approx(losses[1], abs=NOISE), mine.name
    ids = torch.arange(5, 25)[None]
    answers = [load(tmp_path / name)(input_ids=ids).logits for name in ("out", "plain")]
    torch.testing.assert_close(*answers, rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_process_has_the_part_that_the_plan_says(method, tmp_path, monkeypatch):
    words = [*RUN, f"method={method}", "train.max_rows=32", "train.epochs=1"]
    command = [*TORCHRUN[:-2], str(Path(__file__).parents[1] / "fsdp_parts.py"), str(tmp_path / "parts.json"), *words]
    done = subprocess.run([*command, f"results_dir={tmp_path}"], capture_output=True, text=True, timeout=280,
                          env={**os.environ, **ENVIRONMENT})  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "parts.json").read_text())
    for name, value in {**ENVIRONMENT, "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    memory = plan.plan(plan.read(sweep.resolved(words))).largest
    for name in ("weights", "gradients", "optimizer"):
        assert getattr(memory, name) == pytest.approx(found[name], rel=0.02), name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sharded_run_that_was_killed_goes_on(tmp_path):
    words = [*RUN, "method=full", "train.epochs=10", "save_every=0", f"results_dir={tmp_path / 'two'}"]
    started = subprocess.Popen(
        [*TORCHRUN, *words], stderr=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT}
    )
    for line in started.stderr:
        if "step 6/30" in line:
            ranked = {process.environ().get("RANK"): process for process in psutil.Process(started.pid).children()}
            ranked["1"].kill()
            break
    started.communicate(timeout=120)
    assert started.returncode != 0
    done = sharded(*words)
    assert done.returncode == 0, done.stderr
    assert "goes on" in done.stderr
    assert run(sweep.resolved([*words[:-1], f"results_dir={tmp_path / 'one'}"])) == 0
    (two,), (one,) = record.read_all(tmp_path / "two"), record.read_all(tmp_path / "one")
    curves = [[point["loss"] for point in found.stages[-1].facts["curve"]] for found in (two, one)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-4)


@pytest.mark.slow
def test_a_method_that_needs_whole_weights_after_each_step_is_refused(tmp_path):
    done = sharded(*RUN, "method=omp", f"results_dir={tmp_path}")
    assert done.returncode != 0
    assert "has masks in weights that train, and FSDP shares the weights out" in done.stderr


def test_another_version_of_fsdp_is_refused(monkeypatch):
    """accelerate takes version 1 where none is given."""
    monkeypatch.setitem(distributed._asked, distributed.FSDP, True)
    monkeypatch.delenv("FSDP_VERSION", raising=False)
    with pytest.raises(UserError, match=r"version 1 is asked for.*FSDP_VERSION=2"), sharding(Mock()):
        pass


def test_a_tensor_that_is_not_sharded_is_whole():
    value = torch.ones(2)
    assert not isinstance(value, DTensor)
    assert whole_tensor(value) is value
