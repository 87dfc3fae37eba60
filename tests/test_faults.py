"""A few of the faults that benchmarks/faults.py tries by the hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "faults.py"


@pytest.mark.slow
def test_killed_and_hindered_runs_end_as_if_left_alone():
    """The script fails where a record is broken, a run does not go on, or a score differs in its last digit."""
    words = [
        "--kills",
        "4",
        "--methods",
        "dsee",
        "--hinder",
        "lora",
        "--limits",
        "3",
        "--damage",
        "lora",
        "--damages",
        "4",
    ]
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "4 kills in" in done.stdout
    assert "could not write: all went on" in done.stdout
    assert "4 damaged files: all runs ended as if left alone" in done.stdout
