"""Energy from RAPL's counters: a made-up folder of them, and machines that have none."""

import os

import pytest

from dsee_bench.deploy import energy


def counters(folder, *readings):
    """Make a folder as Linux has it; each reading of the package's counter takes the next of these."""
    package = folder / "intel-rapl:0"
    (folder / "intel-rapl:0:0").mkdir(parents=True)  # the cores: a part of the package
    package.mkdir()
    (package / "max_energy_range_uj").write_text("100000000\n")
    (package / "energy_uj").write_text(f"{readings[0]}\n")
    return package / "energy_uj"


@pytest.mark.parametrize(("first", "last"), [(5_000_000, 35_000_000), (90_000_000, 20_000_000)])
def test_joules_of_a_pass(tmp_path, monkeypatch, first, last):
    """30 J over three passes; the second counter has gone over its range of 100 J."""
    file = counters(tmp_path, first)
    monkeypatch.setattr(energy, "SECONDS", 1.0)
    now = [0.0]
    monkeypatch.setattr(energy.time, "perf_counter", lambda: now[0])
    passes = [0]

    def one():
        now[0] += 0.4
        passes[0] += 1
        if passes[0] % 3 == 0:
            file.write_text(f"{last}\n")

    joules, count = energy.joules_of_a_pass(one, tmp_path)
    assert (joules, count) == (10.0, 3)


def test_a_machine_without_counters_says_so(tmp_path):
    found = energy.energies(lambda: None, lambda: None, "a machine", tmp_path / "powercap")
    assert [(cost.name, cost.value, cost.unit) for cost in found] == [
        ("energy_j", None, "J"),
        ("energy_dense_j", None, "J"),
    ]
    assert "has no RAPL counters, as on most virtual machines" in found[0].counts


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_counters_that_are_for_root_alone_are_named(tmp_path):
    counters(tmp_path, 1).chmod(0)
    assert "may be read by root alone" in energy.energies(lambda: None, lambda: None, "", tmp_path)[0].counts
