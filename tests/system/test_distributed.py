"""One run over two processes is the run of one process: the same batches, the same scores, one record."""

import os
import subprocess
import sys

import psutil
import pytest

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.runs import sweep
from dsee_bench.runs.state import every_state
from dsee_bench.system import distributed

# A model without dropout, whose draws are other ones in each process; 96 rows are three whole batches.
RUN = [
    *("method=dsee", "task=toy_pairs", "backbone=tiny-llama", "task.rows.dev=50", "threads=1", "train.precision=fp32"),
    *(
        "train.max_rows=96",
        "train.epochs=2",
        "train.retune_epochs=1",
        "train.lr_adapter=1e-2",
        "train.gradient_accumulation_steps=2",
    ),
]
NOISE = 1e-5  # gradients are summed in another order; seen: 1e-7


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "dsee_bench.cli.bench"]


@pytest.mark.slow
def test_torchrun_gives_the_record_of_one_process(tmp_path):
    words = [*RUN, "evaluate_on=[toy_pairs]"]
    done = subprocess.run(
        [*TORCHRUN, *words, f"results_dir={tmp_path / 'two'}"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("record: ") == 1, "one process speaks"
    assert done.stderr.count("retune: done") == 1
    assert run(sweep.resolved([*words, f"results_dir={tmp_path / 'one'}"])) == 0
    (two,) = record.read_all(tmp_path / "two")
    (one,) = record.read_all(tmp_path / "one")
    assert (two.made_by["processes"], one.made_by["processes"]) == (2, 1)
    assert two.run_id == one.run_id
    assert [(score.name, score.value, score.n) for score in two.scores] == [("accuracy", one.score("accuracy"), 50)]
    assert two.costs == one.costs
    assert [kept.after for kept in two.retention] == ["tune", "retune"]
    assert two.retention == one.retention, "answers are counted, so that they do not differ by a rounding"
    for mine, other in zip(two.stages, one.stages, strict=True):
        losses = [[point["loss"] for point in stage.facts.get("curve", [])] for stage in (mine, other)]
        assert losses[0] == pytest.approx(losses[1], abs=NOISE), mine.name


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("killed", "recorded"), [(1, True), (0, False)], ids=["another rank", "the first rank"])
def test_a_run_whose_rank_was_killed_is_stopped_and_goes_on(killed, recorded, tmp_path):
    asked = [*RUN, "train.epochs=20", "save_every=0"]
    command = [*TORCHRUN, *asked, f"results_dir={tmp_path / 'two'}"]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in started.stderr:
        if "step 6/60" in line:  # in the first tuning
            ranked = {process.environ().get("RANK"): process for process in psutil.Process(started.pid).children()}
            ranked[str(killed)].kill()
            break
    _, said = started.communicate(timeout=120)
    assert started.returncode != 0
    assert "pair.cc" not in said, "no traceback of gloo"
    (state,) = every_state(tmp_path / "two")
    assert state.name == "interrupted"
    assert (state.record is not None) is recorded
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "goes on" in done.stderr
    assert run(sweep.resolved([*asked, f"results_dir={tmp_path / 'one'}"])) == 0
    (two,), (one,) = record.read_all(tmp_path / "two"), record.read_all(tmp_path / "one")
    assert two.score("accuracy") == one.score("accuracy")


SAID = [
    # what torch raises,                                                                   the other process ended
    (RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:64147."), True),
    (RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:47782: Connection reset by peer."), True),
    (RuntimeError("NCCL error: remote process exited or there was a network error, NCCL version 2.27"), True),
    (RuntimeError("The size of tensor a (3) must match the size of tensor b (2)"), False),
    (ConnectionResetError("Connection reset by peer"), False),  # of the hub or the tracker
]


@pytest.mark.parametrize(("error", "ended"), SAID)
def test_an_error_of_the_line_to_another_process_is_known(error, ended, monkeypatch):
    assert not distributed.other_ended(error), "of a run of one process"
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "2")
    assert distributed.other_ended(error) is ended


def test_a_batch_is_shared_out_evenly(monkeypatch):
    assert distributed.per_process(32) == 32, "one process takes it whole"
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "4")
    assert distributed.per_process(32) == 8
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "3")
    settings = plan.read(sweep.resolved(RUN))
    with pytest.raises(config.ConfigError, match="16 rows at once cannot be shared among 3 processes"):
        plan.plan(settings)
