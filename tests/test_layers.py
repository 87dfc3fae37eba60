"""No room imports one above it. ORDER lists the rooms from the top."""

import ast
from pathlib import Path

import pytest

import dsee_bench

FOLDER = Path(dsee_bench.__file__).parent
ORDER = [
    *("__init__", "library", "cli", "report", "runs", "plan", "cache", "stages", "deploy", "training", "adapters"),
    *("pruning", "models", "tasks", "hub", "metrics", "monitoring", "record", "config", "system"),
]
HEAVY = {"torch", "transformers", "peft", "datasets", "evaluate", "pandas", "numpy", "scipy", "sklearn", "wandb"}


def rooms():
    return {path.relative_to(FOLDER).parts[0].removesuffix(".py") for path in MODULES}


def imports(path, top_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = sorted(FOLDER.rglob("*.py"))


def test_every_room_has_its_place_in_the_order():
    assert rooms() == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_imports_point_down(path):
    own = path.relative_to(FOLDER).parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if (
            parts[0] == "dsee_bench"
            and len(parts) > 1
            and (FOLDER / parts[1]).exists() | (FOLDER / f"{parts[1]}.py").exists()
        ):
            assert ORDER.index(parts[1]) >= ORDER.index(own), f"{own} must not import {name}"


def test_what_settings_are_made_of_imports_nothing_heavy():
    """The classes that conf/ names, and all that they import at their top."""
    named = {
        line.split(":")[1].strip().rpartition(".")[0]
        for path in (FOLDER.parent / "conf").rglob("*.yaml")
        for line in path.read_text().splitlines()
        if "_target_:" in line
    }
    assert len(named) >= 8
    seen, waiting = set(), [*named, "dsee_bench.cli.bench"]
    while waiting:
        module = waiting.pop()
        path = FOLDER.parent / (module.replace(".", "/") + ".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        for name in imports(path, top_level_only=True):
            assert name.split(".")[0] not in HEAVY, f"{module} imports {name} at its top"
            waiting += [name, name.rpartition(".")[0]] if name.startswith("dsee_bench") else []
    assert len(seen) > 15


PYTHON = [
    path
    for folder in ("dsee_bench", "hydra_plugins", "tests", "benchmarks")
    for path in (FOLDER.parent / folder).rglob("*.py")
]


def test_nothing_private_of_hydra_is_used():
    used = [path.name for path in PYTHON if any(name.startswith("hydra._internal") for name in imports(path))]
    assert len(PYTHON) > 150
    assert used == []
