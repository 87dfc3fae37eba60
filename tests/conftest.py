"""What every test shares: no network, one thread, and the folder of real data where there is one."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any import that reads it
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["WANDB_MODE"] = "disabled"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one thread each; `make test-isa` sets two

import pytest

from dsee_bench import plan
from dsee_bench.plan import Settings
from dsee_bench.runs import sweep

_FROZEN = {"modules": 0}


@pytest.fixture(autouse=True)
def _frozen() -> None:
    """Leave what is imported by now to no garbage collection: accelerate asks for a full one after every tuning,
    0.3 s each over the half a million objects of torch and transformers. Both import much of themselves late."""
    if len(sys.modules) > _FROZEN["modules"] + 20:
        gc.collect()
        gc.freeze()
        _FROZEN["modules"] = len(sys.modules)


@pytest.fixture(autouse=True)
def _no_handler_stays() -> Iterator[None]:
    """Remove the log handlers that a test leaves, as Hydra's --multirun does in this process."""
    before = list(logging.root.handlers)
    yield
    for handler in logging.root.handlers[:]:
        if handler not in before and not type(handler).__module__.startswith("_pytest"):
            logging.root.removeHandler(handler)


@pytest.fixture(scope="module")
def compose_run(request: pytest.FixtureRequest) -> Callable[..., Settings]:
    """`compose_run("method=dsee", ...)`: the settings of a run of these words, after those of the module's `RUN`."""
    always = getattr(request.module, "RUN", [])
    return lambda *words: plan.read(sweep.resolved([*always, *words]))


@pytest.fixture
def under_umask() -> Iterator[Callable[[int], object]]:
    """`under_umask(0o077)`: the umask from there to the end of the test."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data files, from DSEE_BENCH_TEST_DATA; the test is skipped where it is not set."""
    folder = os.environ.get("DSEE_BENCH_TEST_DATA")
    if not folder:
        pytest.skip("set DSEE_BENCH_TEST_DATA to a folder with the GLUE, E2E, WebNLG and DART files to run this test")
    return Path(folder)
