"""Whole runs on several labels a row and on multiple choice: scored, exported, and answered again for new rows."""

import json

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

import dsee_bench
from dsee_bench import config, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.cli.predict import main
from dsee_bench.runs import answers, pipeline, scoring, sweep
from dsee_bench.system import signals

MOODS = {"joy": "happy", "fear": "afraid", "anger": "furious"}
SETS = [["joy"], ["fear"], ["anger"], ["joy", "fear"], []]
LABELLED = [
    {"text": " ".join([*(MOODS[name] for name in SETS[n % 5]), "on day", str(n)]), "label": SETS[n % 5]}
    for n in range(20)
]
COLOURS = ["red", "blue", "green", "white"]


def question(n):
    """A question of two to four choices; "indeed" stands in the right one."""
    right, count = n % 2, 2 + n % 3
    endings = [f"it is {colour}{' indeed' if place == right else ''}" for place, colour in enumerate(COLOURS[:count])]
    return {"ctx": f"a {COLOURS[right]} car", "endings": endings, "label": right}


QUESTIONS = [question(n) for n in range(20)]
KINDS = {
    "multi_label": (LABELLED, ["task.metrics=[micro_f1,macro_f1]"]),
    "multiple_choice": (QUESTIONS, ["task.texts=[ctx]", "task.choices=endings"]),
}
RUNS = [
    # kind, backbone, method
    ("multi_label", "tiny-bert", "lora"),
    ("multi_label", "tiny-gpt2", "dsee"),
    ("multi_label", "tiny-bert", "dsee_structured"),
    ("multiple_choice", "tiny-bert", "lora"),
    ("multiple_choice", "tiny-bert", "dsee_structured"),
    ("multiple_choice", "tiny-llama", "dsee"),
]


def words(folder, kind, *more):
    rows, settings = KINDS[kind]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shared = ["task=custom", f"task.kind={kind}", "task.train=rows.jsonl", "task.dev=rows.jsonl", f"data_dir={folder}"]
    short = ["train.epochs=2", "train.retune_epochs=1", "train.batch_size=8", "train.max_length=24"]
    same = ["train.precision=fp32", "threads=1", "device=cpu", f"results_dir={folder}/results"]
    return [*shared, *settings, *short, *same, *more]


@pytest.mark.parametrize(("kind", "backbone", "method"), RUNS)
def test_a_whole_run(kind, backbone, method, tmp_path):
    asked = words(tmp_path, kind, f"backbone={backbone}", f"method={method}", f"export={tmp_path}/export")
    resolved = sweep.resolved(asked)
    assert run(resolved) == 0
    run_id = config.run_id(resolved)
    found = record.read(tmp_path / "results" / "runs" / f"{run_id}.json")
    assert found.status == "finished"
    scored = answers.of_split(answers.path_of(run_id, tmp_path / "results"), "dev")["answers"]
    assert len(scored) == 20
    for model in ([run_id, "--data-dir", str(tmp_path)], [str(tmp_path / "export")]):
        out = tmp_path / "answers.jsonl"
        arguments = ["--input", str(tmp_path / "rows.jsonl"), "--output", str(out), "--force"]
        assert main([*model, *arguments, "--results", str(tmp_path / "results")]) == 0
        given = [json.loads(line) for line in out.read_text().splitlines()]
        if kind == "multi_label":
            names = resolved["task"]["labels"]
            assert [row["answer"] for row in given] == [
                [name for name, has in zip(names, answer, strict=True) if has] for answer in scored
            ]
            assert all((row["probability of joy"] > 0.5) == ("joy" in row["answer"]) for row in given)
        else:
            assert [row["answer"] for row in given] == list(map(str, scored))
            assert [row["choice"] for row in given] == [
                question["endings"][answer] for question, answer in zip(QUESTIONS, scored, strict=True)
            ]
            shares = [[row[f"probability of choice {n}"] for n in range(1, 5)] for row in given]
            for row, question in zip(shares, QUESTIONS, strict=True):
                count = len(question["endings"])
                assert sum(row[:count]) == pytest.approx(1)
                assert row[count:] == [None] * (4 - count)


def test_labels_are_learned_and_joined_in_a_table(tmp_path):
    """A word for each label: a plain tuning of a tiny model finds most."""
    asked = words(tmp_path, "multi_label", "backbone=tiny-bert", "method=full", "train.lr_full=0.01", "seed=0")
    asked += ["train.epochs=30", f"export={tmp_path}/export"]
    resolved = sweep.resolved(asked)
    assert run(resolved) == 0
    assert record.read(tmp_path / "results" / "runs" / f"{config.run_id(resolved)}.json").score("micro_f1") > 0.85
    out = tmp_path / "answers.csv"
    assert main([str(tmp_path / "export"), "--input", str(tmp_path / "rows.jsonl"), "--output", str(out)]) == 0
    found = pd.read_csv(out, keep_default_na=False)["answer"]
    expected = [",".join(sorted(row["label"])) for row in LABELLED]
    assert sum(found == expected) >= 15


def test_choices_are_learned(tmp_path):
    asked = words(tmp_path, "multiple_choice", "backbone=tiny-bert", "method=full", "train.lr_full=0.01", "seed=0")
    resolved = sweep.resolved([*asked, "train.epochs=30"])
    assert run(resolved) == 0
    found = record.read(tmp_path / "results" / "runs" / f"{config.run_id(resolved)}.json")
    assert found.score("accuracy") > 0.9, "one in two to one in four by chance"


def finish(folder, asked):
    """Run the stages; return every tensor of the final model, and its scores."""
    settings = plan.read(sweep.resolved(asked))
    state, inputs = pipeline.prepare(settings, folder / "work")
    pipeline.run_stages(settings, state, folder / "states", inputs)
    return state.model.state_dict(), [score.value for score in scoring.score(state, folder / "work")]


@pytest.mark.parametrize("kind", KINDS)
def test_an_onnx_file_has_the_logits(kind, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export = tmp_path / "export"
    asked = words(tmp_path, kind, "backbone=tiny-bert", "method=lora", f"export={export}", "export_onnx=true")
    assert run(sweep.resolved(asked)) == 0
    model, tokenizer = dsee_bench.load(export), AutoTokenizer.from_pretrained(export)
    inputs = tokenizer(["a red car", "a very blue car"], ["it is red", "so it is"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits
    session = onnxruntime.InferenceSession(str(export / "model.onnx"))
    (logits,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    assert torch.allclose(torch.tensor(logits), expected, atol=1e-4)
    assert logits.shape == (2, 3 if kind == "multi_label" else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tuning_that_is_stopped_goes_on_to_the_same_weights(kind, tmp_path, monkeypatch):
    asked = words(tmp_path, kind, "backbone=tiny-bert", "method=dsee", "save_every=0")
    expected, scores = finish(tmp_path / "whole", asked)
    left = [5]  # of 6 steps in the first tuning

    def stop():
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(signals, "raise_if_stopped", stop)
        with pytest.raises(KeyboardInterrupt):
            finish(tmp_path / "stopped", asked)
    found, again = finish(tmp_path / "stopped", asked)
    assert again == scores
    assert all(torch.equal(found[name], value) for name, value in expected.items())
