"""What an installation gets: the pins of requirements.lock lie in the ranges of pyproject.toml."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def test_the_lock_has_every_dependency_in_its_range():
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in LOCK)}
    extras = {
        name: lines for name, lines in PROJECT["optional-dependencies"].items() if name != "mpnet"
    }  # large weights
    asked = [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]
    for line in map(Requirement, asked):
        if line.name != PROJECT["name"]:
            assert line.specifier.contains(pins[canonicalize_name(line.name)]), line


def test_the_lock_names_no_address_and_no_build():
    assert len(LOCK) > 100
    assert [line for line in LOCK if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line)] == []


def test_all_has_every_extra_but_large_weights_and_what_developers_need():
    (named,) = [Requirement(line).extras for line in PROJECT["optional-dependencies"]["all"]]
    assert named == set(PROJECT["optional-dependencies"]) - {"all", "dev", "docs", "mpnet"}
