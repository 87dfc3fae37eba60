"""Rows on disk: the same rows again, no file left, nothing in a home directory, no bar on a terminal."""

import os
import subprocess
import sys

import pytest

from dsee_bench.tasks.arrow import BATCH, batches, mapped
from dsee_bench.tasks.example import Example, Examples, split_of

MANY = [Example((f"a {number}", "é\u2028\0"), number % 3) for number in range(2 * BATCH + 1)]


def test_rows_come_back_as_they_were():
    split = split_of("train", iter(MANY))
    assert isinstance(split.examples, Examples)
    assert (tuple(split.examples), len(split)) == (tuple(MANY), len(MANY))
    assert split.examples[BATCH] == MANY[BATCH]
    assert split.examples[-3:] == MANY[-3:]
    assert split.examples.take([5, 2, 5]) == [MANY[5], MANY[2], MANY[5]]


@pytest.mark.parametrize("label", [1, 0.1, 3.8000002, None])
def test_a_label_keeps_its_type(label):
    (example,) = split_of("dev", [Example(("a",), label)]).examples
    assert (example.label, type(example.label)) == (label, type(label))


def test_batches():
    assert [len(batch) for batch in batches(iter(MANY))] == [BATCH, BATCH, 1]


@pytest.mark.parametrize("variable", ["TMPDIR", "HF_DATASETS_CACHE"])
def test_no_file_is_left_and_nothing_is_said(variable, tmp_path):
    """A process of its own: the folders are read when `datasets` and `tempfile` are imported."""
    home, folder = tmp_path / "home", tmp_path / "folder"
    for path in (home, folder) if variable == "TMPDIR" else (home,):
        path.mkdir()
    code = """
import os, sys
from dsee_bench.tasks.example import Example, split_of
split = split_of("train", (Example((str(number),), 0) for number in range(5000)))
os.kill(os.getpid(), 9) if sum(example.label for example in split.examples) == 0 else None
"""
    environment = {**os.environ, "HOME": str(home), variable: str(folder)}
    environment = {name: value for name, value in environment.items() if name not in {"HF_HOME", "XDG_CACHE_HOME"}}
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (-9, "", "")
    assert list(folder.iterdir()) == []
    assert list(home.rglob("*")) == []


def test_the_file_lies_in_the_users_cache_while_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    seen = []

    def parts():
        yield {"text": ["a"]}
        seen.extend((tmp_path / "cache").rglob("*.arrow"))

    assert mapped(parts())["text"][:] == ["a"]
    assert len(seen) == 1
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_error_while_rows_are_read_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))

    def broken():
        yield from MANY
        raise ValueError("line 7: no row")

    with pytest.raises(ValueError, match="line 7"):
        split_of("train", broken())
    assert list(tmp_path.iterdir()) == []
