"""A command whose reader has gone, as with `| head -1`, ends without a traceback."""

import os
import subprocess
import sys

import pytest

COMMANDS = [
    # the module,            its words,                             why
    ("dsee_bench.cli.bench", ["cache", "list", "results_dir=none"], "a subcommand prints by itself"),
    ("dsee_bench.cli.report", ["status"], "text in one piece"),
    ("dsee_bench.cli.score", ["e2e", "--hypotheses", "a.txt", "--references", "a.txt", "--metrics", "BLEU"], "a table"),
    ("dsee_bench.cli.score", ["--help"], "argparse prints by itself"),
]


@pytest.mark.parametrize(("module", "words", "why"), COMMANDS)
def test_a_reader_that_has_gone_is_no_fault(module, words, why, tmp_path):
    (tmp_path / "a.txt").write_text("the name is one two three four\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *words], stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, ""), why
