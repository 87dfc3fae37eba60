"""Kill tiny runs of every method at random moments, start them again, and compare with runs that were left alone.

After each kill every record must be whole; a finished run must stay finished; and what the last start ends with must be
the undisturbed run's scores to the last digit. Signals: SIGKILL, SIGTERM and SIGINT in turn. Then the same of runs that
could not write: files that may grow to so many bytes only (a full disk, at every write larger than that; an export is
written too), and folders that may only be read. Then the same of every file that a stopped and a finished run left,
once it is damaged in each way: a bit flipped, cut, empty, foreign JSON, not text, a folder in its place, unreadable.
    python benchmarks/faults.py                              200 kills and some, over every method
    python benchmarks/faults.py --kills 5 --methods dsee,full
    python benchmarks/faults.py --kills 1 --methods lora --limits 5 --damages 40
"""

import argparse
import ctypes
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.system.folders import SEAL

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TINY = [
    "backbone=tiny-bert",
    "task.rows.dev=32",
    "train.max_rows=48",
    "train.batch_size=8",
    "train.epochs=1",
    "train.retune_epochs=1",
    "train.lr_adapter=1e-2",
    "save_every=0",
    "threads=1",
]
OWN = {"dsee_authors": ["method.stages.sparse.placement=decomposition"]}  # the authors' constants need 496 rows


def start(method: str, results_dir: Path, hinder: Callable[[], None] = lambda: None, *more: str) -> int:
    """A process that runs `method` under what `hinder` does to it; its id. A fork, so that what is imported here need
    not be imported again."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        hinder()
        words = [*TINY, f"method={method}", *OWN.get(method, []), f"results_dir={results_dir}", *more]
        resolved: Any = OmegaConf.to_container(config.compose(words), resolve=True)
        code = run(resolved, words)
    except config.ConfigError:
        code = 1
    finally:
        os._exit(code)


def killed(child: int, after: float, number: signal.Signals) -> bool:
    """Send the signal after so many seconds; False if the process was done before."""
    end = time.monotonic() + after
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            return False
        time.sleep(0.002)
    os.kill(child, number)
    os.waitpid(child, 0)
    return True


def only_record(results_dir: Path) -> record.Record | None:
    """The one record; reading raises where one is not whole."""
    found = list(record.read_all(results_dir))
    assert len(found) <= 1, f"{len(found)} records of one run"
    return found[0] if found else None


def scores(results_dir: Path) -> list[tuple[str, float | None]]:
    found = only_record(results_dir)
    assert found is not None, f"no record in {results_dir}"
    assert found.status == "finished", f"{found.run_id} {found.status}: {found.error}"
    return [(score.name, score.value) for score in found.scores]


def torment(method: str, kills: int, draw: random.Random, folder: Path) -> int:
    """Kill runs of `method` so many times; how many runs that took. AssertionError where anything is lost."""
    began = time.monotonic()
    assert os.waitpid(start(method, folder / "straight"), 0)[1] == 0, f"{method} fails when left alone"
    takes = time.monotonic() - began
    expected = scores(folder / "straight")
    runs = done = 0
    while done < kills:
        results_dir = folder / f"killed{runs}"
        while done < kills:
            if not killed(start(method, results_dir), draw.uniform(0, takes), SIGNALS[done % len(SIGNALS)]):
                break
            done += 1
            found = only_record(results_dir)
            assert found is None or found.status in ("finished", "interrupted"), f"{method}: {found.error}"
        assert os.waitpid(start(method, results_dir), 0)[1] == 0, f"{method} does not go on"
        assert scores(results_dir) == expected, f"{method}: {scores(results_dir)} is not {expected}"
        runs += 1
    return runs


def code_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def hindered(method: str, folder: Path, most: int | None = None) -> int:
    """Runs of `method` that cannot write here or there; how many. Each must fail, and go on once it can. Of the sizes
    of files, `most` are tried, or all."""
    expected = _straight(method, folder)
    _stopped(method, folder)
    made = {path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.stat().st_size}
    limits = sorted({0, *(size - 1 for size in made)})
    limits = limits[:: max(1, len(limits) // most)] if most else limits
    for limit in limits:
        results_dir = folder / f"limit{limit}"
        export = f"export={results_dir / 'export'}"
        code = code_of(start(method, results_dir, partial(_no_longer_than, limit), export))
        found = only_record(results_dir) if results_dir.exists() else None
        assert (code, found and found.status) != (0, "failed"), "a failure that looks like success"
        assert code in (0, 1), f"exit code {code} where files end at {limit} bytes"
        code = code_of(start(method, results_dir, _as_ever, export))
        assert code == 0, f"{method} does not go on after files ended at {limit} bytes"
        assert scores(results_dir) == expected, f"{method}: {scores(results_dir)} is not {expected}"
    for closed in ("runs", "work", "work/states"):
        results_dir = folder / closed.replace("/", "-")
        (results_dir / "runs").mkdir(parents=True)
        (results_dir / "work" / "states").mkdir(parents=True)
        (results_dir / closed).chmod(0o555)
        assert code_of(start(method, results_dir, _obey_modes)) == 1, f"no failure where {closed} may only be read"
        (results_dir / closed).chmod(0o755)
        assert code_of(start(method, results_dir)) == 0, f"{method} does not go on after {closed} was closed"
        assert scores(results_dir) == expected
    return len(limits) + 3


def _straight(method: str, folder: Path) -> list[tuple[str, float | None]]:
    """The scores of a run in `folder`/straight that is left alone, and exports its model."""
    code = code_of(start(method, folder / "straight", _as_ever, f"export={folder / 'straight' / 'export'}"))
    assert code == 0, f"{method} fails when left alone"
    return scores(folder / "straight")


def _stopped(method: str, folder: Path) -> Path:
    """A results folder of a run that was killed when it had a whole checkpoint."""
    for attempt in range(20):
        results_dir = folder / f"stopped{attempt}"
        child = start(method, results_dir)
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if any(results_dir.glob(f"work/states/*.tuning/*/{SEAL}")):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.002)
        if any(results_dir.glob(f"work/states/*.tuning/*/{SEAL}")):
            return results_dir
    raise AssertionError(f"{method} was never stopped at a checkpoint")


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inner").write_text("x")


HARMS: dict[str, Callable[[Path], object]] = {
    "flipped bit": _flip,
    "cut": _cut,
    "empty": lambda file: file.write_bytes(b""),
    "foreign JSON": lambda file: file.write_text('{"a": [1, null]}\n'),
    "not text": lambda file: file.write_bytes(b"\xff\xfe\x00" * 50),
    "folder": replace_by_folder,
    "unreadable": lambda file: file.chmod(0),
}


def harms_of(work: Path) -> list[tuple[Path, str]]:
    """Every file below a work folder, relative to it, with each way to damage it that changes it."""
    files = [file for file in sorted(work.rglob("*")) if file.is_file()]
    return [
        (file.relative_to(work), name)
        for file in files
        for name in HARMS
        if file.stat().st_size or name not in ("flipped bit", "cut", "empty")
        if file.suffix != ".lock" or name != "unreadable"  # it may be another user's, and then says so
    ]


def damaged(method: str, folder: Path, draw: random.Random, most: int | None = None) -> int:
    """Runs of `method` that find one damaged file of their own; how many. Of all files and ways, `most` are drawn."""
    expected = _straight(method, folder)
    left = {"finished": folder / "straight", "interrupted": _stopped(method, folder)}
    cases = [(state, *harm) for state, results_dir in left.items() for harm in harms_of(results_dir / "work")]
    cases = draw.sample(cases, most) if most is not None and most < len(cases) else cases
    for number, (state, file, harm) in enumerate(cases):
        results_dir = folder / f"damaged{number}"
        shutil.copytree(left[state], results_dir)
        HARMS[harm](results_dir / "work" / file)
        code = code_of(start(method, results_dir, _obey_modes))
        assert code == 0, f"{method}: exit code {code} with a damaged file of a {state} run: {file} ({harm})"
        assert scores(results_dir) == expected, f"{method}: other scores with a damaged {file} ({harm}, {state})"
        shutil.rmtree(results_dir)
    return len(cases)


def _as_ever() -> None:
    """Hinder nothing."""


def _no_longer_than(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _obey_modes() -> None:
    """Give up root's right to write where the mode forbids it (CAP_DAC_OVERRIDE, bit 1); of others nothing is taken."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # capget(2): version 3, this process
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, 32 bits each, twice
    assert libc.capget(header, sets) == 0, os.strerror(ctypes.get_errno())
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = [name for name in config.options("method") if name != "untuned"]
    parser.add_argument("--kills", type=int, help="of each method; default: 200 over all, rounded up")
    parser.add_argument("--methods", default=",".join(every), help="default: every method")
    parser.add_argument("--hinder", default="dsee", help="methods whose runs cannot write; default: dsee")
    parser.add_argument("--limits", type=int, help="about so many sizes of files; default: all that occur")
    parser.add_argument("--damage", default="dsee", help="methods whose files are damaged; default: dsee")
    parser.add_argument("--damages", type=int, help="so many files and ways, drawn; default: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    methods = options.methods.split(",")
    kills = options.kills or -(-200 // len(methods))

    import torch

    import dsee_bench.runs.pipeline  # noqa: F401  imported once, for all the forks

    torch.set_num_threads(1)
    began = time.monotonic()
    draw = random.Random(options.seed)
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            runs = torment(method, kills, draw, Path(folder))
        print(f"{method:20} {kills} kills, {runs} runs, all ended as if left alone", flush=True)
    print(f"{kills * len(methods)} kills in {time.monotonic() - began:.0f} s: nothing lost", flush=True)
    for method in options.hinder.split(","):
        with tempfile.TemporaryDirectory() as folder:
            print(
                f"{method:20} {hindered(method, Path(folder), options.limits)} runs that could not write: all went on",
                flush=True,
            )
    for method in options.damage.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found = damaged(method, Path(folder), draw, options.damages)
        print(f"{method:20} {found} damaged files: all runs ended as if left alone", flush=True)


if __name__ == "__main__":
    main()
