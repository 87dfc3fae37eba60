"""A results folder of made-up records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up import synthetic
from omegaconf import OmegaConf

from dsee_bench import record
from dsee_bench.config import CONF
from dsee_bench.record import Record


def settings_of(backbone: str, **changed: Any) -> dict[str, Any]:
    """The settings of a backbone in conf/, as a record has them."""
    settings: Any = OmegaConf.to_container(OmegaConf.load(CONF / "backbone" / f"{backbone}.yaml"))
    return {**settings, **changed}


@pytest.fixture
def backbone_settings() -> Callable[..., dict[str, Any]]:
    """`backbone_settings(name, ...)`: those of conf/backbone, with some changed."""
    return settings_of


@pytest.fixture
def make() -> Callable[..., Record]:
    """`make(task, method, seed, value, ...)`: one made-up record."""
    return synthetic


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder: two tasks, two methods, one of them at two sparsities, three seeds; one failed run."""
    for seed in range(3):
        for task in ("rte", "sst2"):
            record.write(synthetic(task, "lora", seed, 0.60 + 0.01 * seed, sparsity=0.0), tmp_path)
            for sparsity in (0.2, 0.5):
                record.write(synthetic(task, "dsee", seed, 0.62 + 0.01 * seed, sparsity=sparsity), tmp_path)
    record.write(synthetic("cola", "dsee", 7, None, status="failed"), tmp_path)
    return tmp_path
