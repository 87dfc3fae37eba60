"""What a run says, and where."""

import contextlib
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import warnings

import pytest

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.monitoring import console
from dsee_bench.runs import sweep

STAMP = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


def say_everything():
    console.info("  tune  step 8/16")
    console.warn("tracking ends here")
    console.debug("for the file")
    console.error("ValueError: no")
    logging.getLogger("datasets.load").warning("a library's warning")
    logging.getLogger("datasets.load").info("a library's chatter")
    text = "python's warning"  # the line of code is told too
    warnings.warn(text, stacklevel=1)


HEARD = [
    # what is said,         on stderr, quiet, in the file
    ("  tune  step 8/16", True, False, True),
    ("warning: tracking ends here", True, False, True),
    ("for the file", False, False, True),
    ("ValueError: no", True, True, True),
    ("warning: a library's warning", True, False, True),
    ("a library's chatter", False, False, False),
    ("python's warning", True, False, True),
]


@pytest.fixture
def library(monkeypatch):
    """A library that prints its warnings itself."""
    logger = logging.getLogger("datasets")
    handlers = [logging.StreamHandler()]
    monkeypatch.setattr(logger, "handlers", handlers)
    monkeypatch.setattr(logger, "propagate", False)
    yield
    assert (logger.handlers, logger.propagate) == (handlers, False), "given back"


@pytest.mark.parametrize("quiet", [False, True])
def test_who_hears_what(quiet, library, tmp_path, capsys):
    with console.logging_to(tmp_path / "log.txt", "a-run", "dsee-bench seed=0", quiet=quiet):
        console.capture_libraries()
        say_everything()
    said, kept = capsys.readouterr().err, (tmp_path / "log.txt").read_text()
    for line, loud, in_quiet, in_file in HEARD:
        assert said.count(line) == (in_quiet if quiet else loud), line
        assert kept.count(line) == in_file, line
    assert all(STAMP.match(line) for line in kept.splitlines() if "=== " in line or "step" in line)


def test_a_later_start_adds_to_the_file_and_nothing_is_heard_between(tmp_path, capsys):
    handlers = logging.root.handlers
    for seed in (0, 1):
        with console.logging_to(tmp_path / "log.txt", "a-run", f"dsee-bench seed={seed}", quiet=False):
            console.info(f"start {seed}")
        console.info("between")
    assert logging.root.handlers == handlers
    kept = [STAMP.sub("", line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [line.partition("  (process")[0] for line in kept] == [
        "=== dsee-bench seed=0",
        "start 0",
        "=== dsee-bench seed=1",
        "start 1",
    ]
    assert capsys.readouterr().err == "start 0\nstart 1\n"


def test_runs_beside_each_other_say_which_they_are_and_draw_no_bars(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert console.draws_bars()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the sweep")
    assert not console.draws_bars()
    with console.logging_to(tmp_path / "log.txt", "a-run", "dsee-bench", quiet=False):
        console.info("one\ntwo")
    assert capsys.readouterr().err == "[a-run] one\n[a-run] two\n"


def test_bars_are_for_terminals_and_not_for_quiet_runs(tmp_path, monkeypatch):
    assert not console.draws_bars()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for quiet in (False, True):
        with console.logging_to(tmp_path / "log.txt", "a-run", "dsee-bench", quiet=quiet):
            assert console.draws_bars() is not quiet


def test_a_quiet_run_shows_its_table_alone_and_keeps_the_rest(tmp_path, capsys):
    words = ["backbone=tiny-bert", "method=full", "train.max_rows=64", "train.epochs=1", "quiet=true"]
    content = sweep.resolved([*words, f"results_dir={tmp_path}"])
    assert run(content, words) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "accuracy" in said.out
    (file,) = (tmp_path / "work").glob("*/log.txt")
    kept = file.read_text()
    for part in ("=== dsee-bench backbone=tiny-bert", "tune  step 2/2", "dev accuracy", "tune: done", "record: "):
        assert part in kept, part
    assert "\r" not in kept
    loud = sweep.resolved([*words[:-1], f"results_dir={tmp_path}"])
    assert config.run_id(loud) == config.run_id(content), "how loud a run is changes no result"


def test_a_run_outlives_who_follows_it(tmp_path):
    """Both streams go to a pipe that nobody reads any more, as after `2>&1 | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    words = ["backbone=tiny-bert", "train.max_rows=32", "train.epochs=1", "method=full", f"results_dir={tmp_path}"]
    nobody = os.fdopen(writer, "w", buffering=1)
    with contextlib.redirect_stdout(nobody), contextlib.redirect_stderr(nobody):
        assert run(sweep.resolved(words)) == 0
    with contextlib.suppress(BrokenPipeError):
        nobody.close()
    (made,) = (tmp_path / "runs").glob("*.json")
    assert record.read(made).status == "finished"
    assert "tune  step" in (tmp_path / "work" / made.stem / "log.txt").read_text()


@pytest.mark.parametrize("word", ["plan=true", "plan=json", "--help"])
def test_an_answer_that_nobody_reads_is_no_error(word):
    """As in `dsee-bench plan=true | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    told = subprocess.run([sys.executable, "-m", "dsee_bench.cli.bench", word], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert b"Traceback" not in told.stderr
    assert told.returncode in (0, 120)


def test_a_command_without_a_log_file_prints_until_it_ends(capsys):
    with console.printing():
        console.info("fetching")
        console.debug("for the file alone")
    console.info("afterwards")
    assert capsys.readouterr().err == "fetching\n"
    assert logging.getLogger("dsee_bench").handlers == []
