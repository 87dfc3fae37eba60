"""`dsee-bench predict`: the answers are those that were scored, from a run and from its export, in every format."""

import json
import os

import pandas as pd
import pytest

from dsee_bench import config
from dsee_bench.cli.bench import run
from dsee_bench.cli.predict import main
from dsee_bench.runs import answers, sweep

MOODS = ["bad", "good"]
WORDS = {"fine": "good", "dull": "bad"}
ROWS = [(f"A {word} film number {number}.", mood) for number in range(8) for word, mood in WORDS.items()]
COMMON = ["backbone=tiny-bert", "method=lora", "train.epochs=2", "train.lr_adapter=0.01", "threads=1", "task=custom"]


def tuned(folder, name, frame, *words):
    """Tune and export on the rows of `frame`; return the run's id and the answers that were scored on dev."""
    frame.to_csv(folder / f"{name}.csv", index=False)
    words = [*COMMON, f"task.name={name}", f"task.train={name}.csv", f"task.dev={name}.csv", *words]
    words += [f"data_dir={folder}", f"results_dir={folder}/results", f"export={folder}/{name}-export"]
    resolved = sweep.resolved(words)
    assert run(resolved) == 0
    run_id = config.run_id(resolved)
    return run_id, answers.of_split(answers.path_of(run_id, folder / "results"), "dev")["answers"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def moods(folder):
    frame = pd.DataFrame(ROWS, columns=["review", "mood"])
    asked = ["task.texts=[review]", "task.label=mood", "task.labels=[bad,good]"]
    run_id, answers = tuned(folder, "moods", frame, *asked)
    frame[["review"]].to_csv(folder / "new.csv", index=False)
    return run_id, [MOODS[int(answer)] for answer in answers]


def answered(folder, *words, output="answers.csv"):
    path = folder / output
    path.unlink(missing_ok=True)
    assert main([*words, "--output", str(path), "--results", str(folder / "results")]) == 0
    return path


@pytest.mark.parametrize("which", ["run", "export"])
def test_the_answers_are_those_that_were_scored(which, folder, moods):
    run_id, expected = moods
    model = [run_id, "--data-dir", str(folder)] if which == "run" else [str(folder / "moods-export")]
    table = pd.read_csv(answered(folder, *model, "--input", str(folder / "new.csv")))
    assert list(table) == ["review", "answer", "probability of bad", "probability of good"]
    assert list(table["review"]) == [text for text, _ in ROWS]
    assert list(table["answer"]) == expected
    shares = table[["probability of bad", "probability of good"]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert [MOODS[at] for at in shares.to_numpy().argmax(1)] == expected


READERS = {
    ".tsv": lambda path: pd.read_csv(path, sep="\t"),
    ".json": pd.read_json,
    ".jsonl": lambda path: pd.read_json(path, lines=True),
    ".parquet": pd.read_parquet,
}


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_holds_the_same_answers(suffix, folder, moods):
    model = str(folder / "moods-export")
    path = answered(folder, model, "--input", str(folder / "new.csv"), output=f"answers{suffix}")
    assert list(READERS[suffix](path)["answer"]) == moods[1]


def test_numbers_are_answered_as_numbers(folder):
    frame = pd.DataFrame([(f"one {n}", f"two {n}", n / 4) for n in range(12)], columns=["a", "b", "score"])
    asked = ["task.kind=regression", "task.labels=[]", "task.metrics=[pearson]", "task.texts=[a,b]", "task.label=score"]
    run_id, expected = tuned(folder, "numbers", frame, *asked)
    path = answered(folder, run_id, "--data-dir", str(folder), "--input", str(folder / "numbers.csv"))
    table = pd.read_csv(path)
    assert list(table) == ["a", "b", "score", "answer"]
    assert table["answer"].to_numpy() == pytest.approx(expected, abs=1e-6)


REFUSED = [
    (["--input", "new.csv", "--texts", "title"], "no column 'title'; the columns are review"),
    (["--input", "missing.csv"], "missing.csv"),
    (["--input", "answers-too.csv"], "has a column 'answer' already; rename it"),
    (["--input", "new.csv", "--output", "answers.txt"], "ends in '.txt'; the formats are .csv"),
    (["--input", "new.csv", "--output", "new.csv"], "new.csv exists; name another file, or replace it by --force"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_answered_is_named(words, message, folder, moods, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    pd.DataFrame({"review": ["x"], "answer": ["y"]}).to_csv("answers-too.csv", index=False)
    output = [] if "--output" in words else ["--output", "out.csv"]
    assert main(["moods-export", *words, *output]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "out.csv").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_pipe_in_the_place_of_the_output_is_refused(suffix, folder, moods, capsys):
    os.mkfifo(folder / f"pipe{suffix}")
    words = ["--input", str(folder / "new.csv"), "--output", str(folder / f"pipe{suffix}"), "--force"]
    assert main([str(folder / "moods-export"), *words]) == 1
    assert "named pipe" in capsys.readouterr().err


def test_a_run_that_does_not_exist_is_named(folder, moods, capsys):
    words = ["moods-x", "--input", str(folder / "new.csv"), "--output", str(folder / "no.csv")]
    assert main([*words, "--results", str(folder / "results")]) == 1
    assert "no run 'moods-x' among the" in capsys.readouterr().err


def test_the_manifest_says_how_the_rows_were_read(folder, moods):
    task = json.loads((folder / "moods-export" / "manifest.json").read_text())["task"]
    assert (task["texts"], task["max_length"], task["labels"]) == (["review"], 128, MOODS)


@pytest.mark.parametrize("truncate", ["tail", "head_tail"])
def test_long_texts_are_cut_as_in_the_run(folder, truncate):
    """The texts differ at their end alone, behind more tokens than are read; by their head all would be alike."""
    filler = "it was a long day and we went home"
    frame = pd.DataFrame([(f"{filler} {text}", mood) for text, mood in ROWS], columns=["review", "mood"])
    asked = ["task.texts=[review]", "task.label=mood", "task.labels=[bad,good]", f"task.truncate={truncate}"]
    run_id, answers = tuned(folder, f"long_{truncate}", frame, *asked, "train.max_length=10")
    frame[["review"]].to_csv(folder / "long.csv", index=False)
    for model in ([run_id, "--data-dir", str(folder)], [str(folder / f"long_{truncate}-export")]):
        table = pd.read_csv(answered(folder, *model, "--input", str(folder / "long.csv")))
        assert list(table["answer"]) == [MOODS[int(answer)] for answer in answers]
        assert table["probability of bad"].nunique() > 1
