"""Every task in conf/task that has classes or numbers keeps the contract that the runner relies on."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from dsee_bench import metrics
from dsee_bench.config import compose, option, options
from dsee_bench.config.validate import build
from dsee_bench.config.variants import SOURCES

ANY = ("custom", "hub")  # for any data set


def node(name: str) -> dict:
    content = option("task", name)
    return content | ({"train": "a.csv", "dev": "b.csv", "labels": ["a", "b"]} if name in ANY else {})


WRITTEN = ("generation", "language_modeling")
FAMILIES = [name for name in options("task") if {"variants", *SOURCES} & {*node(name)}]  # tests/tasks/test_families.py
LABELLED = [name for name in options("task") if name not in FAMILIES and node(name)["kind"] not in WRITTEN]


def test_how_many_there_are():
    assert len(LABELLED) >= 9 + 2 + len(ANY), f"GLUE, the toys, any; found {LABELLED}"


@pytest.mark.parametrize("name", LABELLED)
def test_contract(name):
    task = build(node(name), f"task={name}")
    assert task.name == ("table" if name == "hub" else name), "an open name is that of the repository"
    assert (task.kind == "regression") == (len(task.labels) == 0)
    assert len(task.labels) != 1
    metrics.check(task.metrics, kind=task.kind, classes=len(task.labels) or None)
    assert name in ANY or {"train", "dev"} <= task.rows.keys()
    assert all(count > 0 for count in task.rows.values())
    assert task == build(node(name), "task"), "two builds of the same settings are one task"


@pytest.mark.parametrize("name", options("task"))
def test_an_option_is_read_as_hydra_composes_it(name):
    assert option("task", name) == OmegaConf.to_container(compose([f"task={name}"]).task)


def test_building_them_imports_nothing_heavy():
    heavy = ("torch", "transformers", "datasets", "evaluate", "pandas", "numpy", "scipy", "sklearn", "pyarrow")
    code = f"""
import sys
from dsee_bench.config import option
from dsee_bench.config.validate import build
for node in {[node(name) for name in LABELLED]!r}:
    build(node, "task")
print([name for name in {heavy!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
