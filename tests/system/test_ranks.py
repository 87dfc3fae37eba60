"""One run over two processes is the run of one process: the same batches, the same scores, one record."""

import os
import subprocess
import sys

import pytest

from dsee_bench import config, plan, record
from dsee_bench.run import run
from dsee_bench.sweeps import sweep
from dsee_bench.system import ranks

# A model without dropout, whose draws are other ones in each process; 96 rows are three whole batches.
RUN = [
    *("method=dsee", "task=toy_pairs", "backbone=tiny-llama", "task.rows.dev=50", "threads=1", "train.precision=fp32"),
    *("train.max_rows=96", "train.epochs=2", "train.retune_epochs=1", "train.update_rate=1e-2", "train.accumulate=2"),
]
NOISE = 1e-5  # gradients are summed in another order; seen: 1e-7


@pytest.mark.slow
def test_torchrun_gives_the_record_of_one_process(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dsee_bench.run"]
    done = subprocess.run(
        [*command, *RUN, f"results_dir={tmp_path / 'two'}"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("record: ") == 1, "one process speaks"
    assert done.stderr.count("retune: done") == 1
    assert run(sweep.resolved([*RUN, f"results_dir={tmp_path / 'one'}"])) == 0
    (two,) = record.read_all(tmp_path / "two")
    (one,) = record.read_all(tmp_path / "one")
    assert (two.made_by["processes"], one.made_by["processes"]) == (2, 1)
    assert two.run_id == one.run_id
    assert [(score.name, score.value, score.n) for score in two.scores] == [("accuracy", one.score("accuracy"), 50)]
    assert two.costs == one.costs
    for mine, other in zip(two.stages, one.stages, strict=True):
        losses = [[point["loss"] for point in stage.facts.get("curve", [])] for stage in (mine, other)]
        assert losses[0] == pytest.approx(losses[1], abs=NOISE), mine.name


def test_a_batch_is_shared_out_evenly(monkeypatch):
    assert ranks.share(32) == 32, "one process takes it whole"
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "4")
    assert ranks.share(32) == 8
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "3")
    settings = plan.read(sweep.resolved(RUN))
    with pytest.raises(config.ConfigError, match="16 rows at once cannot be shared among 3 processes"):
        plan.plan(settings)
