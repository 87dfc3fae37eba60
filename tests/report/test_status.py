"""Every state that a run can be in, and what is missing of a sweep."""

import time

import pytest
from filelock import FileLock

from dsee_bench import record
from dsee_bench.cli.report import main
from dsee_bench.record import Record
from dsee_bench.runs import sweep
from dsee_bench.runs.state import every_state, state_of
from dsee_bench.system.locks import run_lock

WORDS = ["task=rte,mrpc", "seed=0,1,2", "method=lora", "backbone=tiny-bert"]


@pytest.fixture
def cells():
    return sweep.expand(WORDS)


def begin(results, run_id):
    """The lock that a run takes first of all."""
    lock = run_lock(results / "work" / run_id)
    lock.parent.mkdir(parents=True)
    return FileLock(lock)


def leave(results, run_id, status):
    error = None if status == "finished" else "Traceback (most recent call last):\n  ...\nMemoryError: no room left"
    record.write(Record(run_id, status, {}, {"command": f"dsee-bench the={run_id}"}, error=error), results)


def test_every_state(tmp_path):
    for status in ("finished", "failed", "interrupted"):
        leave(tmp_path, status, status)
    (tmp_path / "runs" / "half.json").write_text('{"run')
    with begin(tmp_path, "killed"):
        pass
    leave(tmp_path, "again", "failed")
    with begin(tmp_path, "live"), begin(tmp_path, "again"):
        found = {state.run_id: state.name for state in every_state(tmp_path)}
        assert state_of("other", tmp_path).name == "missing"
    assert found == {
        "finished": "finished",
        "failed": "failed",
        "interrupted": "interrupted",
        "half": "unreadable",
        "killed": "interrupted",
        "live": "running",
        "again": "running",
    }
    assert state_of("failed", tmp_path).why == "MemoryError: no room left"


def test_a_thousand_records_take_less_than_two_seconds(make, tmp_path, capsys):
    """Seconds of the processor, so that a busy machine does not fail it; benchmarks/many_runs.py has larger records."""
    path = record.write(make("rte", "lora", 0), tmp_path)
    kept = path.read_text()
    for number in range(1, 1000):
        (tmp_path / "runs" / f"run-{number}.json").write_text(kept.replace(path.stem, f"run-{number}"))
    started = time.process_time()
    assert main(["status", "--results", str(tmp_path)]) == 0
    assert time.process_time() - started < 2
    assert "1000 finished" in capsys.readouterr().out


def test_a_sweep_says_what_is_missing_and_how_to_go_on(cells, tmp_path, capsys):
    leave(tmp_path, cells[0].run_id, "finished")
    leave(tmp_path, cells[1].run_id, "finished")
    leave(tmp_path, cells[2].run_id, "failed")
    with begin(tmp_path, cells[4].run_id):
        assert main(["status", *WORDS, "--results", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("6 runs of the sweep")
    assert "2 finished, 1 running, 1 failed, 2 missing" in said
    rows = [line.split() for line in said.splitlines() if line.startswith(("task", "rte", "mrpc"))]
    assert rows[:3] == [
        ["task", "finished", "running", "failed", "missing"],
        ["rte", "0", "1", "2"],
        ["mrpc", "1", "0", "2"],
    ]
    command = " ".join(cells[2].overrides)
    assert f"{cells[2].run_id}: MemoryError: no room left\n      dsee-bench {command}\n" in said
    assert said.rstrip().endswith("dsee-bench --multirun task=rte,mrpc seed=0,1,2 method=lora backbone=tiny-bert")


def test_a_finished_sweep_says_only_that(cells, tmp_path, capsys):
    for cell in cells:
        leave(tmp_path, cell.run_id, "finished")
    assert main(["status", "--", "--multirun", *WORDS, f"results_dir={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "6 finished\n" in said
    assert "missing" not in said
    assert "--multirun" not in said
