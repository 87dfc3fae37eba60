"""A sweep gives the same records whoever launches it. Each launcher's processes import torch, so there is one sweep."""

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from dsee_bench import record
from dsee_bench.runs import launching, sweep
from dsee_bench.runs.state import state_of

SWEEP = [
    *("method=dsee,full,lora", "seed=0", "task=toy_pairs", "backbone=tiny-bert", "threads=1", "task.rows.dev=32"),
    *("train.max_rows=64", "train.epochs=1", "train.retune_epochs=1", "train.lr_adapter=1e-2"),
]


DEADLY = Path(__file__).parent / "killed_at_seed_9"


def multirun(folder, *words, python_path=()):
    """`dsee-bench --multirun` over SWEEP with these words; its exit code, and what it said."""
    command = [sys.executable, "-m", "dsee_bench.cli.bench", "--multirun", *SWEEP, f"results_dir={folder}", *words]
    paths = [*map(str, python_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    return done.returncode, done.stdout + done.stderr


def results_of(folder, *words):
    """What of each run's record is the same whoever launched it."""
    found = {}
    for cell in sweep.expand([*SWEEP, *words]):
        kept = asdict(record.read(record.path_of(cell.run_id, folder)))
        curves = [[stage["facts"].get("curve"), stage["facts"].get("dev")] for stage in kept["stages"]]
        found[cell.run_id] = {"curves": curves, **{name: kept[name] for name in ("scores", "costs", "config", "data")}}
    return found


@pytest.fixture(scope="module")
def basic(tmp_path_factory):
    """The records of Hydra's own launcher: one run after the other in one process."""
    folder = tmp_path_factory.mktemp("basic")
    code, said = multirun(folder)
    assert code == 0, said
    return results_of(folder)


@pytest.mark.slow
def test_joblib_gives_the_same_records(basic, tmp_path):
    """Two workers for three runs: one is used twice, and nothing of its first run is left in its second."""
    code, said = multirun(tmp_path, "hydra/launcher=processes")
    assert code == 0, said
    assert results_of(tmp_path) == basic


@pytest.mark.slow
def test_submitit_gives_the_same_records(basic, tmp_path):
    """The local executor stands in for Slurm: a process a run. One run is enough: none shares anything with another."""
    code, said = multirun(tmp_path, "hydra/launcher=submitit_local", "method=dsee")
    assert code == 0, said
    found = results_of(tmp_path, "method=dsee")
    assert found == {run_id: basic[run_id] for run_id in found}
    assert len(found) == 1


@pytest.mark.slow
def test_a_killed_worker_loses_no_finished_run(basic, tmp_path):
    """The worker that begins seed 9 is killed from outside; what was done stays done, and only seed 9 is left."""
    words = ["hydra/launcher=processes", "hydra.launcher.n_jobs=1", "method=full", "seed=0,9"]
    code, said = multirun(tmp_path, *words, python_path=[DEADLY])
    assert code != 0, said
    done, killed = sweep.expand([*SWEEP, "method=full", "seed=0,9"])
    assert state_of(done.run_id, tmp_path).name == "finished"
    assert state_of(killed.run_id, tmp_path).name == "interrupted"


@pytest.mark.slow
def test_a_worker_that_is_always_killed_harms_no_other_run(tmp_path):
    """Two workers: while one runs seed 9 the other runs another, and two more wait."""
    words = ["hydra/launcher=processes", "method=full", "seed=0,9,1,2"]
    code, said = multirun(tmp_path, *words, python_path=[DEADLY])
    assert code == 1, said
    cells = sweep.expand([*SWEEP, "method=full", "seed=0,9,1,2"])
    assert [state_of(cell.run_id, tmp_path).name for cell in cells] == [
        "finished",
        "interrupted",
        "finished",
        "finished",
    ]
    assert f"1 interrupted: {cells[1].run_id}; the same command goes on with them" in said
    assert "Traceback" not in said


CONFIGS = ["processes", "slurm", "slurm_cpu"]
SHARES = [
    # workers, cores, threads, why
    (2, 8, 4, "shared out"),
    (3, 8, 2, "rounded down"),
    (16, 8, 1, "one at least"),
    (-1, 8, 1, "joblib: a worker a core"),
    (-2, 8, 1, "joblib: all cores but one"),
    (None, 8, None, "another launcher"),
]


@pytest.mark.parametrize(("workers", "cores", "threads", "why"), SHARES)
def test_threads_are_shared_out(workers, cores, threads, why, monkeypatch):
    monkeypatch.setattr(launching, "take_gpu", lambda: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert launching.threads_per_run({} if workers is None else {"n_jobs": workers}) == threads, why


def test_each_worker_takes_a_gpu_of_its_own(tmp_path):
    """Three workers at once on a machine with GPUs 4 and 7: two have one alone, the third shares."""
    code = (
        "import os, sys; from types import SimpleNamespace as Stub\n"
        "sys.modules['torch'] = Stub(cuda=Stub(device_count=lambda: 2))\n"
        "from dsee_bench.runs import launching; launching.take_gpu(); launching.take_gpu()\n"
        "print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "4,7", "TMPDIR": str(tmp_path)}
    workers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True, env=environment)
        for _ in range(3)
    ]
    seen = [worker.stdout.readline().strip() for worker in workers]
    for worker in workers:
        worker.communicate("")
    assert sorted({"4", "7"} & set(seen)) == ["4", "7"]
    assert set(seen) <= {"4", "7"}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_launchers_of_conf_compose(name):
    from dsee_bench import config

    assert config.compose([f"hydra/launcher={name}"], hydra_too=True).hydra.launcher._target_.endswith("Launcher")
