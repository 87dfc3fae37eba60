"""Names that went do not come back: docs, settings, code and tests say one word for one thing."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("dsee_bench", "conf", "tests", "docs", "benchmarks", "README.md", "CONTRIBUTING.md")
EXCEPT = {
    "dsee_bench/runs/migrate.py": "carries records over from the old names",
    "tests/runs/test_migrate.py": "holds a record of the old names",
    "tests/test_words.py": "lists them",
}
GONE = {
    # what went:                          what it is called
    "full_rate": "lr_full",
    "update_rate": "lr_adapter",
    "retune_rate": "lr_retune",
    "update_dropout": "adapter_dropout",
    r"train\.accumulate": "gradient_accumulation_steps",
    r"train\.clip": "max_grad_norm",
    r"train\.schedule": "lr_scheduler_type",
    "eval_every": "eval_strategy, eval_steps",
    "entries_per_site": "num_entries",
    r"sparse\.kept": "num_entries",
    r"sparse\.where": "placement",
    "mask_update": "mask_adapter",
    "export_update": "export_adapter",
    "Outline": "ModelSpec",
    "outline": "spec",
    "by_first": "from_main_process",
    "is_first": "is_main_process",
    "let_go": "resume",
    "take_over": "the name of what is done",
}
MODULES_GONE = {
    # what went:  what it is called
    "follow": "monitoring",
    "backbones": "models",
    "sweeps": "runs/sweep.py",
    "execute.py": "runs/pipeline.py",
    "attempt.py": "runs/lifecycle.py",
    "origin.py": "system/provenance.py",
    "quirks.py": "stages/generic_start.py",
}


def files():
    """Every text file of PLACES but EXCEPT, and its path from the root."""
    for place in PLACES:
        found = [ROOT / place] if (ROOT / place).is_file() else sorted((ROOT / place).rglob("*"))
        assert found, place
        for path in found:
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in {".py", ".yaml", ".md"} and name not in EXCEPT:
                yield name, path


def test_what_is_left_out_is_there():
    assert all((ROOT / name).is_file() for name in EXCEPT)


@pytest.mark.parametrize("word", GONE)
def test_no_file_says_the_word(word):
    asked = re.compile(rf"\b{word}\b")
    lines = [
        f"{name}:{number}"
        for name, path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if asked.search(line)
    ]
    assert not lines, f"say {GONE[word]}"


@pytest.mark.parametrize("part", MODULES_GONE)
def test_no_module_has_the_name(part):
    dotted = re.compile(rf"\bdsee_bench\.([a-z_.]+\.)?{part.removesuffix('.py')}\b")
    named = [name for name, path in files() if part in Path(name).parts or dotted.search(path.read_text("utf-8"))]
    assert not named, f"it is {MODULES_GONE[part]}"
