"""Timing two models in turn: what is repeated, when it ends, and what is said of a noisy machine."""

import time

import pytest

from dsee_bench.deploy import timing
from dsee_bench.deploy.timing import in_turn, ratio_of


def test_the_interval_is_that_of_order_statistics():
    """Of nine values the second and the eighth hold the median with 1 - 2 (1 + 9) / 2^9 = 96.1 %, the third and the
    seventh with 82 % (the binomial distribution); all ratios are over 1."""
    first = [9.0, 1.0, 5.0, 3.0, 7.0, 2.0, 8.0, 4.0, 6.0]
    assert ratio_of(first, [1.0] * 9) == (5.0, (2.0, 8.0))


def test_of_few_pairs_nothing_is_known():
    """Of five values the smallest and the largest hold the median with 1 - 2 / 2^5 = 94 %, less than was asked."""
    ratio, interval = ratio_of([2.0, 4.0, 6.0, 8.0, 10.0], [2.0] * 5)
    assert (ratio, interval) == (3.0, (float("-inf"), float("inf")))


def clocked(monkeypatch, times):
    """Replace the clock: a pass of a model moves it by the next of its times."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    order = []

    def passing(name):
        left = iter(times[name])

        def one():
            order.append(name)
            now[0] += next(left)

        return one

    return passing("a"), passing("b"), order


def test_equal_rounds_end_after_the_fewest_and_the_models_take_turns(monkeypatch):
    a, b, order = clocked(monkeypatch, {"a": [3.0] * 99, "b": [4.0] * 99})
    timed = in_turn(a, b, seconds=1000)
    assert timed.ratio == 0.75
    assert timed.interval == (0.75, 0.75)
    assert timed.noisy is None
    assert len(timed.first) == len(timed.second) == timing.LEAST
    assert order[8:16] == ["a", "b", "b", "a", "a", "b", "b", "a"]  # after four passes each that warm up


def test_noise_is_timed_for_longer(monkeypatch):
    """The first eight rounds of `a` take 3 or 5, the others 4: these are in the middle once there are enough."""
    noisy = [4.0] * 4 + [3.0, 5.0, 3.0, 5.0, 3.0, 5.0, 3.0, 5.0, 4.0] + [4.0] * 50
    a, b, _ = clocked(monkeypatch, {"a": noisy, "b": [4.0] * 99})
    timed = in_turn(a, b, seconds=1000)
    assert timed.ratio == 1.0
    assert timing.LEAST < len(timed.first) < 40
    assert timed.interval == (1.0, 1.0)
    assert timed.noisy is None


def test_a_machine_that_is_too_noisy_is_named(monkeypatch):
    noisy = [1.0, 2.0] * 200
    a, b, _ = clocked(monkeypatch, {"a": noisy, "b": [1.0] * 400})
    timed = in_turn(a, b, seconds=100)
    rounds = len(timed.first)
    assert 100 < timed.seconds < 110
    assert timed.interval == (1.0, 2.0)
    known = f"after {rounds} rounds in {timed.seconds:.0f} s the ratio is known to ± {50 / timed.ratio:.1f}%, not 2%"
    assert timed.noisy == f"too noisy: {known}"


def test_short_passes_are_repeated_within_a_sample(monkeypatch):
    """Passes of 1 and 2 ms: 5 ms have five of the first and two of the second (2.5 is rounded to the even number)."""
    a, b, order = clocked(monkeypatch, {"a": [0.001] * 999, "b": [0.002] * 999})
    timed = in_turn(a, b, seconds=10)
    assert order[8:15] == ["a"] * 5 + ["b"] * 2
    assert timed.first == pytest.approx([1.0] * 9)
    assert timed.second == pytest.approx([2.0] * 9)
