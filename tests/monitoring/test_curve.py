"""The file of a training curve, whatever stopped its writing; and the lines that a person sees meanwhile."""

import json
from types import SimpleNamespace

import pytest

from dsee_bench import config, record
from dsee_bench.cli.bench import INTERRUPTED, run
from dsee_bench.monitoring import console, progress
from dsee_bench.monitoring.curve import Curve, Point
from dsee_bench.monitoring.progress import Answering, Progress
from dsee_bench.runs import sweep
from dsee_bench.system import jsonl

KEYS = ["stage", "step", "seconds", "loss", "learning_rate", "metric", "dev", "split", "crc32"]


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("time.perf_counter", lambda: now.seconds)
    return now


def test_a_stop_and_a_resume_leave_no_line_twice_and_none_torn(tmp_path, clock):
    file, seen = tmp_path / "curve.jsonl", []
    first = Curve(file)
    first.begin("tune", 0)
    for step in (1, 2, 3):
        clock.seconds += 10
        first.add(step, loss=1.0 / step, learning_rate=1e-3)
    with file.open("a") as stream:
        stream.write('{"stage": "tune", "st')  # killed here; the last checkpoint is of step 2
    clock.seconds += 1000
    again = Curve(file, seen.append)
    again.begin("tune", 2)
    clock.seconds += 5
    again.add(3, metric="accuracy", dev=0.5)
    again.begin("retune", 0)
    again.add(1, loss=0.25)
    found = rows(file)
    assert [(row["stage"], row["step"], row["seconds"]) for row in found] == [
        ("tune", 1, 10.0),
        ("tune", 2, 20.0),
        ("tune", 3, 25.0),
        ("retune", 1, 0.0),
    ]
    assert [list(row) for row in found] == [KEYS] * 4
    assert seen == [Point("tune", 3, 25.0, metric="accuracy", dev=0.5), Point("retune", 1, 0.0, loss=0.25)]


def test_what_is_no_number_is_null(tmp_path):
    curve = Curve(tmp_path / "curve.jsonl")
    curve.begin("tune", 0)
    curve.add(1, loss=float("nan"), metric="matthews", dev=float("-inf"))
    assert [rows(tmp_path / "curve.jsonl")[0][key] for key in ("loss", "dev")] == [None, None]


def test_a_run_keeps_the_curve_of_its_record(tmp_path):
    words = ["backbone=tiny-bert", "train.max_rows=64", "train.epochs=2", "train.retune_epochs=1"]
    words += ["train.batch_size=16", "task.rows.dev=32"]
    for repeat in ([], ["force=true"]):
        content = sweep.resolved([*words, f"results_dir={tmp_path}", *repeat])
        assert run(content, words) == 0
    run_id = config.run_id(content)
    found = rows(tmp_path / "work" / run_id / "curve.jsonl")
    facts = {log.name: log.facts for log in record.read(record.path_of(run_id, tmp_path)).stages}
    for stage in ("tune", "retune"):
        mine = [row for row in found if row["stage"] == stage]
        losses = [{"step": row["step"], "loss": row["loss"]} for row in mine if row["loss"] is not None]
        assert losses == facts[stage]["curve"]
        dev = [{"step": row["step"], row["metric"]: row["dev"]} for row in mine if row["metric"]]
        assert dev == facts[stage]["dev"]
    assert len(found) == 8 + 2 + 4 + 1


@pytest.mark.parametrize("at", [1, 7])
def test_a_stopped_run_leaves_the_curve_of_one_that_was_not(at, tmp_path, monkeypatch):
    words = ["backbone=tiny-bert", "method=full", "train.max_rows=64", "train.epochs=2", "save_every=0"]
    words += ["train.batch_size=16", "task.rows.dev=32"]
    watched = Progress.on_step_begin
    curves = []
    for name in ("whole", "interrupted"):
        content = sweep.resolved([*words, f"results_dir={tmp_path / name}"])
        file = tmp_path / name / "work" / config.run_id(content) / "curve.jsonl"
        if name == "interrupted":

            def stop(self, args, state, control, **more):
                if state.global_step == at:
                    raise KeyboardInterrupt

            monkeypatch.setattr(Progress, "on_step_begin", stop)
            assert run(content, words) == INTERRUPTED
            monkeypatch.setattr(Progress, "on_step_begin", watched)
            with file.open("a") as stream:
                stream.write(jsonl.dump({"stage": "tune", "step": 8, "seconds": 9.0}) + '{"st')  # not in a checkpoint
        assert run(content, words) == 0
        curves.append([{**row, "seconds": None, "crc32": None} for row in rows(file)])
    assert len(curves[0]) == 8 + 2
    assert curves[1] == curves[0]


def state_at(step):
    return SimpleNamespace(global_step=step, max_steps=100, is_world_process_zero=True)


def test_a_long_epoch_is_not_silent_and_the_time_left_is_of_this_start(tmp_path, clock, capsys):
    """Gone on from step 40; a step takes two seconds, so 30 seconds are 15 steps."""
    watched = Progress("tune", "dev", "accuracy")
    with console.logging_to(tmp_path / "log.txt", "a-run", "dsee-bench", quiet=False):
        watched.on_train_begin(None, state_at(40), None)
        for step in range(41, 73):
            clock.seconds += 2
            watched.on_log(None, state_at(step), None, {"loss": 0.5, "learning_rate": 1e-3})
            watched.on_step_end(None, state_at(step), None)
    assert capsys.readouterr().err.splitlines() == [
        "  tune  step 55/100  loss 0.500  30 s, 90 s left",
        "  tune  step 70/100  loss 0.500  60 s, 60 s left",
    ]


def test_a_long_evaluation_is_not_silent(tmp_path, clock, capsys):
    watched = Answering("dev")
    with console.logging_to(tmp_path / "log.txt", "a-run", "dsee-bench", quiet=False):
        for _ in range(2):
            for _ in range(4):
                watched.on_prediction_step(None, state_at(0), None, range(4))
                clock.seconds += progress.REPORT_EVERY / 2
            watched.on_evaluate(None, state_at(0), None)
    assert capsys.readouterr().err.splitlines() == ["  dev  batch 3/4  30 s, 15 s left"] * 2
