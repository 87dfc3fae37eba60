"""Energy of a forward pass from Linux's RAPL counters: what the processor's packages drew, everything on them included.

Only real processors count, and Linux shows the counters to root alone; on most virtual machines there are none.
"""

import time
from pathlib import Path

from dsee_bench.deploy.timing import Pass
from dsee_bench.record import Cost

POWERCAP = Path("/sys/class/powercap")
SECONDS = 3.0  # that a model runs between two readings; the counters move about once a millisecond


def energies(final: Pass, dense: Pass, counts: str, folder: Path = POWERCAP) -> tuple[Cost, ...]:
    """Return joules of one forward pass of both models; None with the reason where nothing counts them."""
    costs = []
    for name, one in (("energy_j", final), ("energy_dense_j", dense)):
        try:
            joules, passes = joules_of_a_pass(one, folder)
            text = f"one forward pass, {counts}; RAPL, packages of the processor, mean of {passes}, nothing taken off"
        except OSError as error:
            joules, text = None, f"not measured: {error}"
        costs.append(Cost(name, joules, "J", text))
    return tuple(costs)


def joules_of_a_pass(one: Pass, folder: Path) -> tuple[float, int]:
    """Return the joules of one pass, and how many there were; OSError where the counters cannot be read."""
    packages = _packages(folder)
    before = [_read(package / "energy_uj") for package in packages]
    started, passes = time.perf_counter(), 0
    while time.perf_counter() - started < SECONDS:
        one()
        passes += 1
    drawn = 0
    for package, first in zip(packages, before, strict=True):
        last = _read(package / "energy_uj")
        drawn += last - first if last >= first else last - first + _read(package / "max_energy_range_uj")
    return drawn / 1e6 / passes, passes


def _packages(folder: Path) -> list[Path]:
    """The folders of the processor's packages, without the parts inside them: intel-rapl:0, not intel-rapl:0:1."""
    found = sorted(path for path in folder.glob("intel-rapl:*") if path.name.count(":") == 1)
    if not found:
        raise OSError(f"{folder} has no RAPL counters, as on most virtual machines")
    return found


def _read(file: Path) -> int:
    try:
        return int(file.read_text())
    except PermissionError as error:
        raise OSError(f"{file} may be read by root alone") from error
