"""A signal that Python loses still stops a run, and one that comes late loses nothing."""

import os
import signal

import pytest

from dsee_bench import config, record
from dsee_bench.cli import bench as command
from dsee_bench.runs import lifecycle, pipeline, sweep
from dsee_bench.system import signals


@pytest.fixture(autouse=True)
def handlers():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])
    signals._REQUESTED.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_swallowed_interrupt_is_remembered(number):
    signals.listen()
    signals.raise_if_stopped()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)  # where this is lost, as in a finalizer, nothing but the note is left
    with pytest.raises(KeyboardInterrupt):
        signals.raise_if_stopped()
    signals.listen()
    signals.raise_if_stopped()


def test_held_signals_are_remembered_and_raise_nothing():
    signals.listen()
    signals.defer()
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.stop_requested()
    signals.resume()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_is_held_back_comes_afterwards():
    def leave(*_):
        raise SystemExit(7)

    before = signal.signal(signal.SIGUSR2, leave)
    steps = []

    def send(step):
        os.kill(os.getpid(), signal.SIGUSR2)
        steps.append(step)

    def send_held_back():
        with signals.held_back(signal.SIGUSR1, signal.SIGUSR2):
            send("after the signal")

    try:
        with pytest.raises(SystemExit):
            send_held_back()
        with pytest.raises(SystemExit):
            send("not held back any more")
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert steps == ["after the signal"]


def interrupted(then):
    """What `then` does, with a signal before it."""

    def act(*arguments, **more):
        os.kill(os.getpid(), signal.SIGINT)
        return then(*arguments, **more)

    return act


@pytest.mark.parametrize("where", ["made_by", "write", "outcome"])
def test_a_second_ctrl_c_does_not_lose_the_record(where, tmp_path, monkeypatch):
    """The first one stops the run; the second comes while the record is made or written."""
    monkeypatch.setattr(pipeline, "execute", interrupted(lambda *_: pytest.fail("not stopped")))
    if where == "made_by":
        monkeypatch.setattr(lifecycle, "_made_by", interrupted(lifecycle._made_by))
    if where == "write":
        monkeypatch.setattr(record, "write_atomically", interrupted(record.write_atomically))
    if where == "outcome":
        monkeypatch.setattr(lifecycle, "Record", interrupted(record.Record))
    content = sweep.resolved(["backbone=tiny-bert", f"results_dir={tmp_path}"])
    assert command.run(content) == command.INTERRUPTED
    assert record.read(record.path_of(config.run_id(content), tmp_path)).status == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_tuning_stops_the_run(number, tmp_path, monkeypatch, capsys):
    words = ["backbone=tiny-bert", "method=full", "train.max_rows=128", "train.epochs=2", f"results_dir={tmp_path}"]
    content = sweep.resolved(words)
    steps, ask = iter(range(100)), signals.raise_if_stopped

    def check():
        if next(steps) == 3:
            os.kill(os.getpid(), number)
        ask()

    monkeypatch.setattr(signals, "raise_if_stopped", check)
    assert command.run(content) == command.INTERRUPTED
    assert record.read(record.path_of(config.run_id(content), tmp_path)).status == "interrupted"
    assert "goes on" in capsys.readouterr().err


def test_ctrl_c_while_a_good_record_is_written_ends_the_sweep_after_it(tmp_path, monkeypatch):
    words = ["backbone=tiny-bert", "method=full", "train.max_rows=32", "train.epochs=1"]
    content = sweep.resolved([*words, f"results_dir={tmp_path}"])
    monkeypatch.setattr(lifecycle, "_made_by", interrupted(lifecycle._made_by))
    assert command.run(content) == 0
    assert record.read(record.path_of(config.run_id(content), tmp_path)).status == "finished"
    assert signals.stop_requested(), "what a sweep asks before its next run"
