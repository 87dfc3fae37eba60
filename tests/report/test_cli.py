"""dsee-report as a user calls it."""

import subprocess
import sys

import pytest

from dsee_bench import record
from dsee_bench.cli.report import main
from dsee_bench.config import CONF


def test_no_command_writes_every_table(results, capsys):
    assert main(["--results", str(results)]) == 0
    said = capsys.readouterr().out
    assert "LoRA" in said
    written = sorted(path.name for path in (results / "tables").iterdir())
    assert {"glue.md", "glue.tex", "glue.csv", "all.md"} <= set(written)
    assert (results / "tables" / "glue.md").read_text() in said


def test_a_second_call_gives_the_same_bytes(results):
    def all_bytes():
        assert main(["tables", "--results", str(results)]) == 0
        return {path.name: path.read_bytes() for path in (results / "tables").iterdir()}

    assert all_bytes() == all_bytes()


def test_a_refused_table_spares_the_others_and_is_an_error(results, make, capsys, monkeypatch):
    record.write(make("sst2", "lora", 9, sparsity=0.0, sha256="other"), results)
    alone = results / "alone.yaml"
    alone.write_text((CONF / "table" / "all.yaml").read_text() + "filters: {task.name: rte}\n")
    monkeypatch.setattr("dsee_bench.report.tables.spec_paths", lambda *_: [CONF / "table" / "glue.yaml", alone])
    assert main(["tables", "--results", str(results)]) == 1
    assert "checksum of the scored split is aa in sst2-minilm-lora" in capsys.readouterr().err
    assert sorted(path.name for path in (results / "tables").iterdir()) == [
        "alone.csv",
        "alone.html",
        "alone.md",
        "alone.tex",
    ]


def test_status_counts_and_names_what_went_wrong(results, capsys):
    (results / "runs" / "half.json").write_text("{")
    assert main(["status", "--results", str(results)]) == 0
    said = capsys.readouterr().out
    assert "20 runs" in said
    assert "18 finished, 1 failed, 1 unreadable" in said
    assert "ValueError: made up\n      dsee-bench made=up" in said
    assert "half.json is not a record" in said
    assert [line.split() for line in said.splitlines() if " lora " in line] == [
        ["rte", "minilm", "lora", "3", "0-2"],
        ["sst2", "minilm", "lora", "3", "0-2"],
    ]


def test_show_finds_a_run_by_the_start_of_its_id(results, capsys):
    assert main(["show", "rte-minilm-lora-s1", "--results", str(results)]) == 0
    said = capsys.readouterr().out
    for part in ("0.61", "trainable_parameters", "12.5 s", "train.learning_rate", "dsee-bench made=up"):
        assert part in said


WRONG = [
    # arguments,                 says,                            why
    (["show", "rte-minilm-lora"], "is the start of 3 runs", "not one run"),
    (["show", "rte-minilm-lroa-s1"], "did you mean 'rte-minilm-lora", "a misspelt run"),
    (["tables", "glu"], "did you mean 'glue'", "a misspelt table"),
]


@pytest.mark.parametrize(("arguments", "says", "why"), WRONG)
def test_mistakes_exit_with_1_and_the_way_out(arguments, says, why, results, capsys):
    assert main([*arguments, "--results", str(results)]) == 1, why
    assert says in capsys.readouterr().err


def test_an_empty_folder_says_what_to_do(tmp_path, capsys):
    assert main(["--results", str(tmp_path)]) == 1
    assert "run an experiment first" in capsys.readouterr().err
    assert main(["status", "--results", str(tmp_path)]) == 0


@pytest.mark.parametrize("command", ["tables", "plots", "page", "status", "show", "masks", "compare"])
def test_every_command_has_help_with_examples(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"examples:\n  dsee-report {command}" in capsys.readouterr().out


def test_status_loads_nothing_heavy():
    heavy = "{'torch', 'transformers', 'pandas', 'numpy', 'matplotlib', 'scipy'}"
    code = (
        f"import sys; from dsee_bench.cli.report import main; main(['status']); assert not {heavy} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["errors", "x", "--count", "many"], "--count: must be a whole number, 0 or more, got 'many'"),
        (["errors", "x", "--count", "-1"], "--count: must be a whole number, 0 or more, got '-1'"),
        (["compare", "x", "y", "--margin", "wide"], "--margin: must be a number of points above 0, got 'wide'"),
        (["compare", "x", "y", "--margin", "nan"], "--margin: must be a number of points above 0, got 'nan'"),
        (["compare", "x", "y", "--margin", "0"], "--margin: must be a number of points above 0, got '0'"),
    ],
)
def test_a_wrong_number_is_told_without_the_name_of_a_function(words, message, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert message in capsys.readouterr().err
