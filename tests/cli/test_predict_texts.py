"""`dsee-bench predict` of texts: those that were scored, by a run and by its export, some rows at a time."""

import json

import pandas as pd
import pytest

from dsee_bench import config, plan
from dsee_bench.cli.bench import run
from dsee_bench.cli.predict import main
from dsee_bench.runs import answers, predict_texts, sweep
from dsee_bench.system.shell import as_in_a_shell

COLOURS = ("red", "blue", "green", "black", "white", "brown")
ROWS = [{"document": f"{one} {two} {one}", "summary": two} for one in COLOURS for two in COLOURS[:3]]


def tuned(folder, name, *words):
    words = as_in_a_shell([
        "task=custom", "task.kind=generation", "backbone=tiny-gpt2", "train=demo_nlg", "train.epochs=6", "threads=1",
        "task.split.train=rows.jsonl", "task.split.dev=rows.jsonl", "task.target={summary}", "method=lora",
        "task.decode.beams=2", "task.decode.new_tokens=6", "task.decode.batch_size=4", "task.metrics=[exact_match]",
        f"data_dir={folder}", f"results_dir={folder}/results", f"export={folder}/{name}", f"task.name={name}", *words,
    ])  # fmt: skip
    resolved = sweep.resolved(words)
    assert run(resolved) == 0
    run_id = config.run_id(resolved)
    kept = answers.of_split(answers.path_of(run_id, folder / "results"), "dev")
    return run_id, kept["answers"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("predict")
    (made / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pd.DataFrame(ROWS)[["document"]].to_csv(made / "new.csv", index=False)
    return made


@pytest.fixture(scope="module")
def summaries(folder):
    return tuned(folder, "sums", "task.prompt=Say: {document} ->")


def answered(folder, *words, output="answers.csv"):
    assert main([*words, "--output", str(folder / output), "--results", str(folder / "results"), "--force"]) == 0
    assert not (folder / f"{output}.part").exists()
    return folder / output


@pytest.mark.parametrize("which", ["run", "export"])
@pytest.mark.parametrize("output", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
def test_the_texts_are_those_that_were_scored(which, output, folder, summaries, monkeypatch):
    run_id, expected = summaries
    assert len(set(expected)) > 1
    model = [run_id, "--data-dir", str(folder)] if which == "run" else [str(folder / "sums")]
    monkeypatch.setattr(predict_texts, "CHUNK", 2)  # 8 of 18 rows at a time
    path = answered(folder, *model, "--input", str(folder / "new.csv"), output=output)
    read = {
        ".csv": lambda: pd.read_csv(path, keep_default_na=False),
        ".tsv": lambda: pd.read_csv(path, sep="\t", keep_default_na=False),
        ".parquet": lambda: pd.read_parquet(path),
    }.get(path.suffix, lambda: pd.read_json(path, lines=path.suffix == ".jsonl"))
    table = read()
    assert list(table) == ["document", "answer"]
    assert list(table["document"]) == [row["document"] for row in ROWS]
    assert list(table["answer"]) == expected


def test_a_column_of_prompts_and_rows_without_one(folder, summaries, capsys):
    _, expected = summaries
    prompts = pd.DataFrame({"p": [f"Say: {row['document']} ->" for row in ROWS]})
    prompts.to_csv(folder / "prompts.csv", index=False)
    path = answered(folder, str(folder / "sums"), "--input", str(folder / "prompts.csv"), "--texts", "p")
    assert list(pd.read_csv(path, keep_default_na=False)["answer"]) == expected
    words = [str(folder / "sums"), "--input", str(folder / "prompts.csv"), "--output", str(folder / "x.csv")]
    assert main(words) == 1
    assert "prompts.csv, line 2: no column 'document' for {document}; there is p" in capsys.readouterr().err


def test_running_text_answers_nothing(folder, capsys):
    tuned(folder, "lm", "task.kind=language_modeling", "task.texts=[document]", "task.metrics=null", "task.target=null")
    words = [str(folder / "lm"), "--input", str(folder / "new.csv"), "--output", str(folder / "y.csv")]
    assert main(words) == 1
    assert "lm reads running text and answers nothing" in capsys.readouterr().err


def test_contexts_of_a_data_to_text_task(folder, capsys):
    words = ["task=toy_d2t", "backbone=tiny-gpt2", "train=demo_nlg", "train.epochs=1", "train.max_rows=64", "threads=1"]
    words += ["task.decode.contexts=5", "task.decode.splits=[dev]", "task.decode.new_tokens=8", "method=lora"]
    resolved = sweep.resolved([*words, f"results_dir={folder}/results", f"export={folder}/toy"])
    assert run(resolved) == 0
    scored = answers.of_split(answers.path_of(config.run_id(resolved), folder / "results"), "dev")["answers"]
    contexts = [row.context for row in plan.read(resolved).task.load(None, 0)["dev"].examples[:5]]
    pd.DataFrame({"mr": contexts}).to_csv(folder / "mr.csv", index=False)
    path = answered(folder, str(folder / "toy"), "--input", str(folder / "mr.csv"), "--texts", "mr")
    assert list(pd.read_csv(path, keep_default_na=False)["answer"]) == scored
    assert main([str(folder / "toy"), "--input", str(folder / "mr.csv"), "--output", str(folder / "z.csv")]) == 1
    assert "were read from no columns; name that of the contexts by --texts" in capsys.readouterr().err
