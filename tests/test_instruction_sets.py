"""Which instruction sets `make test-isa` tries, and what it says of them; pytest itself is not started here."""

from pathlib import Path

import instruction_sets
import pytest
from instruction_sets import SETS, environment

ROOT = Path(__file__).parents[1]


@pytest.fixture
def started(monkeypatch):
    """What pytest is started with, and its exit codes, green unless told otherwise."""
    calls, codes = [], []

    def call(command, env):
        calls.append((command[-1], env["ATEN_CPU_CAPABILITY"], env["OMP_NUM_THREADS"]))
        return codes.pop() if codes else 0

    monkeypatch.setattr(instruction_sets.subprocess, "call", call)
    return calls, codes


BEST = [
    # the processor's best, sets that are tried, why
    ("avx512", ["default", "avx2", "avx512"], "all"),
    ("avx2", ["default", "avx2"], "what it lacks would end in an illegal instruction"),
    ("default", ["default"], "an old one"),
    ("sve256", ["default"], "another family"),
]


@pytest.mark.parametrize(("best", "tried", "why"), BEST)
def test_each_set_that_is_there_with_one_thread_and_two(best, tried, why, started, monkeypatch):
    monkeypatch.setattr(instruction_sets, "capability", lambda held: held.get("ATEN_CPU_CAPABILITY", best))
    said = instruction_sets.run(["tests/adapters"])
    assert started[0] == [("tests/adapters", name, threads) for name in tried for threads in ("1", "2")], why
    assert [line for line in said if "skipped" in line] == [
        f"{name}: skipped, this processor has {best} at most" for name in SETS if name not in tried
    ]
    assert sum(": green" in line for line in said) == 2 * len(tried)


def test_a_failure_is_told_and_the_others_are_tried(started, monkeypatch):
    monkeypatch.setattr(instruction_sets, "capability", lambda held: held.get("ATEN_CPU_CAPABILITY", "avx2"))
    started[1].append(1)
    said = instruction_sets.run(["tests/adapters"])
    assert said[0].startswith("default, 1 threads: FAILED (1)")
    assert len(started[0]) == 4


def test_without_words_what_computes_runs_once_under_each_set(started, monkeypatch):
    monkeypatch.setattr(instruction_sets, "capability", lambda held: held.get("ATEN_CPU_CAPABILITY", "avx2"))
    instruction_sets.run([])
    assert [call[1:] for call in started[0]] == [("default", "1"), ("avx2", "2")]
    file, _, name = instruction_sets.COMPUTES[-1].partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()
    assert all((ROOT / place).is_dir() for place in instruction_sets.COMPUTES[:-1])


def test_the_variables_reach_torch():
    assert instruction_sets.capability(environment("default", 1)) == "default"
