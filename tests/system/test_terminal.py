"""Commands on a terminal that has few letters, and their versions."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

import dsee_bench
from dsee_bench.config import CONF

NO_UNICODE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
RUN, REPORT, SCORE = "dsee_bench.cli.bench", "dsee_bench.cli.report", "dsee_bench.cli.score"
QUICK = ["task=toy_pairs", "backbone=tiny-bert", "method=full", "threads=1", "train.max_rows=32", "train.epochs=1"]


def call(module, *words, **more):
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, capture_output=True, timeout=250, env={**os.environ, **NO_UNICODE, **more})


COMMANDS = [
    # module,   words,                                          exit code
    (RUN, ["--help"], 0),
    (RUN, [*QUICK, "plan=true"], 0),
    (RUN, ["task.name=ü–≈", "methud=ü"], 1),
    (REPORT, ["status", "--results", "{}"], 0),
    (REPORT, ["tables", "all", "--results", "{}"], 0),
    (REPORT, ["show", "a", "--results", "{}"], 0),
    (REPORT, ["masks", "ä", "--results", "{}"], 1),
    (REPORT, ["compare", "a", "a", "--results", "{}"], 0),
    (RUN, ["cache", "list", "results_dir={}"], 0),
    (SCORE, ["--help"], 0),
]


@pytest.fixture
def results(tmp_path):
    from dataclasses import replace

    from dsee_bench import record
    from dsee_bench.record import Cost, Record, Score

    config = {"seed": 0, **{group: {"name": f"{group} ü–Ω"} for group in ("task", "backbone", "method")}}
    score = Score("accuracy", 0.5, "0-1", "higher", "dev", 9, "accuracy|Ω")
    found = Record(
        "a", "finished", config, {"command": "dsee-bench ü"}, scores=(score,), costs=(Cost("a", None, "≥", "Ω"),)
    )
    path = record.write(found, tmp_path)
    record.write(replace(found, run_id="b", status="failed", error="ValueError: ü"), tmp_path)
    assert "Ω" in path.read_text(encoding="utf-8")
    state = tmp_path / "work" / "states" / "abc"
    state.mkdir(parents=True)
    (state / "stages.json").write_text('[{"name": "ü"}]', encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("module", "words", "code"), COMMANDS)
def test_letters_that_the_terminal_lacks_are_replaced(module, words, code, results):
    done = call(module, *[word.replace("{}", str(results)) for word in words])
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stdout + done.stderr
    assert (done.stdout + done.stderr).isascii()


@pytest.mark.slow
def test_a_run_on_such_a_terminal_ends_well(tmp_path):
    done = call(RUN, *QUICK, "task.rows.dev=16", 'train.name="ü"', f'results_dir="{tmp_path}/ö"')
    assert done.returncode == 0, done.stderr
    assert b"record: " in done.stdout
    assert len(list((tmp_path / "ö" / "runs").glob("*.json"))) == 1


@pytest.mark.parametrize(("module", "name"), [(RUN, "dsee-bench"), (REPORT, "dsee-report"), (SCORE, "dsee-score")])
def test_version(module, name):
    assert dsee_bench.__version__ == version("dsee-bench")
    done = call(module, "--version")
    assert done.stdout.decode() == f"{name} {dsee_bench.__version__}\n"


def test_the_version_is_stated_once():
    stated = (CONF.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{dsee_bench.__version__}"\n' in stated


def test_a_version_costs_nothing_heavy():
    code = "import sys, dsee_bench; dsee_bench.__version__; assert not {'torch', 'hydra', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
