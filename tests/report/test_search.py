"""A search of settings: its trials, the choice, the expected best by number of trials, and what is refused."""

import functools
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from made_up import synthetic

from dsee_bench import record
from dsee_bench.cli.bench import run
from dsee_bench.cli.report import main
from dsee_bench.record import StageLog
from dsee_bench.report.statistics import expected_best
from dsee_bench.runs import sweep

SWEEP = ["method=lora,dsee", "train.lr_adapter=0.0005,0.001,0.002"]
TWO = ["glue_search", *SWEEP]  # of two methods, three rates and two tasks: twelve runs
SCORES = {  # (method, rate) -> accuracy on mrpc, Matthews on cola
    ("lora", "0.0005"): (0.70, 0.10),
    ("lora", "0.001"): (0.72, 0.20),
    ("lora", "0.002"): (0.74, 0.12),
    ("dsee", "0.0005"): (0.76, 0.30),
    ("dsee", "0.001"): (0.75, 0.25),
    ("dsee", "0.002"): (0.60, 0.40),
}


@functools.cache
def cells(*words):
    return sweep.expand(["experiment=glue_search", *(words or SWEEP)])


def leave(folder, cell, value, **changed):
    """A made-up record of one run of the search."""
    words = dict(word.split("=", 1) for word in cell.overrides)
    made = synthetic(words["task"], words["method"], 100, value, checkpoint="best validation", split="validation")
    return record.write(replace(made, run_id=cell.run_id, **changed), folder)


def leave_all(folder, but=()):
    """A record of every run but those of these (task, method, rate)."""
    for cell in cells():
        words = dict(word.split("=", 1) for word in cell.overrides)
        trial = (words["method"], words["train.lr_adapter"])
        if (words["task"], *trial) not in but:
            leave(folder, cell, SCORES[trial][("mrpc", "cola").index(words["task"])])


def read(folder, capsys, *words):
    code = main(["search", *(words or TWO), "--results", str(folder), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_expected_best_by_hand():
    """Of 1, 2, 3 drawn twice: the best is 1, 2, 3 with chances 1/9, 3/9, 5/9."""
    assert expected_best([3, 1, 2]) == pytest.approx([2, 22 / 9, (1 + 2 * 7 + 3 * 19) / 27])
    assert expected_best([3, 1, 2], "lower") == pytest.approx([2, (3 + 2 * 3 + 5) / 9, (3 + 2 * 7 + 19) / 27])
    assert expected_best([5, 5]) == pytest.approx([5, 5])


def test_expected_best_is_that_of_draws():
    values = np.array([0.31, 0.64, 0.64, 0.07, 0.52])
    generator = np.random.default_rng(0)
    for draws, expected in enumerate(expected_best(values.tolist()), 1):
        best = values[generator.integers(len(values), size=(200_000, draws))].max(axis=1)
        assert expected == pytest.approx(best.mean(), abs=4 * best.std() / 200_000**0.5 + 1e-9)


def test_the_best_mean_over_tasks_is_chosen(tmp_path, capsys):
    leave_all(tmp_path)
    code, found = read(tmp_path, capsys)
    assert code == 0
    assert found["missing"] == []
    lora, dsee = found["methods"]["lora"], found["methods"]["dsee"]
    assert [trial["mean"] for trial in lora["trials"]] == pytest.approx([40, 46, 43])
    assert lora["chosen"] == {"train.lr_adapter": "0.001"}
    assert lora["at_the_edge"] == []
    assert [trial["mean"] for trial in dsee["trials"]] == pytest.approx([53, 50, 50])
    assert dsee["chosen"] == {"train.lr_adapter": "0.0005"}
    assert dsee["at_the_edge"] == ["train.lr_adapter"]
    assert lora["trials"][0]["scores"] == pytest.approx({"mrpc": 70, "cola": 10})
    assert lora["expected_best"] == pytest.approx([43, (40 + 3 * 43 + 5 * 46) / 9, (40 + 7 * 43 + 19 * 46) / 27])
    assert dsee["expected_best"][0] == pytest.approx(51)


def test_what_is_missing_is_named_with_its_command(tmp_path, capsys):
    leave_all(tmp_path, but=[("cola", "dsee", "0.002")])
    code, found = read(tmp_path, capsys, *TWO, "data_dir=some/where")
    assert code == 1
    (missing,) = found["missing"]
    assert missing["state"] == "missing"
    assert missing["run_id"].startswith("cola-minilm-dsee-s100-")
    words = missing["command"].split()
    assert words[0] == "dsee-bench"
    assert sweep.expand(words[1:])[0].run_id == missing["run_id"]
    assert "data_dir=some/where" in words
    assert found["methods"]["dsee"]["chosen"] is None
    assert found["methods"]["dsee"]["expected_best"] is None
    assert found["methods"]["lora"]["chosen"] == {"train.lr_adapter": "0.001"}


def test_the_text_has_trials_choices_and_curves(tmp_path, capsys):
    leave_all(tmp_path, but=[("cola", "dsee", "0.002")])
    assert main(["search", *TWO, f"results_dir={tmp_path}"]) == 1
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said.splitlines() if line.startswith("|")]
    assert ["lora", "train.lr_adapter=0.001", "72.00", "20.00", "46.00", "chosen"] in rows
    assert ["dsee", "train.lr_adapter=0.002", "60.00", "–", "–", ""] in rows
    assert "no choice yet, 2 of 3 trials are finished" in said
    assert "accuracy on 277 rows held out of train (sha256 aa)" in said
    assert "Not finished: 1 of 12 runs" in said


def test_two_experiments_are_one_search(tmp_path, capsys):
    code, found = read(tmp_path, capsys, "glue_search", "glue_search_full")
    assert code == 1
    assert list(found["methods"]) == ["lora", "lora_all_twice", "dsee", "dsee_structured", "full", "full_twice"]
    (trials,) = {len(method["trials"]) for method in found["methods"].values()}
    assert len(found["missing"]) == 6 * 2 * trials


def test_a_loss_is_better_lower(tmp_path, capsys):
    """A task of texts has no score on its validation rows but the loss that chose the checkpoint."""
    words = ["task=toy_d2t", "method=lora", "backbone=tiny-gpt2", "train.lr_adapter=0.0005,0.001"]
    for cell, loss in zip(cells(*words), (2.0, 1.5), strict=True):
        points = [{"step": 1, "loss": loss}, {"step": 2, "loss": 9.0}]
        facts = {"steps": 2, "dev": points, "best_step": 1, "scored_on": "validation"}
        leave(tmp_path, cell, 0.1, scores=(), stages=(StageLog("tune", 1.0, None, facts),))
    code, found = read(tmp_path, capsys, "glue_search", *words)
    assert code == 0
    assert found["methods"]["lora"]["chosen"] == {"train.lr_adapter": "0.001"}
    assert found["methods"]["lora"]["expected_best"] == pytest.approx([1.75, (2 + 3 * 1.5) / 4])


TINY = [
    *("backbone=tiny-gpt2", "task=toy_d2t", "method=lora,dsee", "train.lr_adapter=1e-5,3e-2", "threads=1"),
    *("train.max_rows=16", "train.dev_rows=4", "train.batch_size=4", "train.max_length=48", "train.precision=fp32"),
    *("task.contexts={train: 20, dev: 2, test: 2}", "task.decode.new_tokens=24", "task.decode.contexts=2"),
]
WRITTEN = [
    "method=lora",
    "task.decode.splits=[validation]",
    "task.metrics=[ROUGE_L]",
    "train.max_rows=48",
    "train.epochs=6",
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "name", "best"), [([], "loss", min), (WRITTEN, "ROUGE_L", max)])
def test_a_decoder_is_searched_from_its_runs_to_the_choice(words, name, best, tmp_path, capsys):
    """e2e_search on a tiny model: it chooses by the loss, or by the metric where the validation rows are written."""
    words = [*TINY, *words]
    for cell in sweep.expand(["experiment=e2e_search", *words, f"results_dir={tmp_path}"]):
        assert run(sweep.resolved(cell.overrides)) == 0
    capsys.readouterr()
    code, found = read(tmp_path, capsys, "e2e_search", *words)
    assert code == 0
    assert found["tasks"]["toy_d2t"]["name"] == name
    for method in found["methods"].values():
        scores = {}
        for trial in method["trials"]:
            (run_id,) = trial["runs"]
            made = record.read(record.path_of(run_id, tmp_path))
            assert made.checkpoint == "best validation"
            losses = [point["loss"] for point in made.stages[-1].facts["dev"]]  # of the last tuning, after each epoch
            points = min(losses) if name == "loss" else 100 * made.score(name, "validation")
            assert trial["mean"] == pytest.approx(points)
            scores[trial["settings"]["train.lr_adapter"]] = points
        assert len(set(scores.values())) == 2
        assert scores[method["chosen"]["train.lr_adapter"]] == pytest.approx(best(scores.values()))


def test_a_trial_without_a_score_is_not_chosen(tmp_path, capsys):
    leave_all(tmp_path)
    (cell,) = [cell for cell in cells() if {"task=cola", "method=lora", "train.lr_adapter=0.001"} < {*cell.overrides}]
    leave(tmp_path, cell, None)
    code, found = read(tmp_path, capsys)
    assert code == 0
    assert found["methods"]["lora"]["chosen"] == {"train.lr_adapter": "0.002"}
    assert found["methods"]["lora"]["expected_best"] is None


REFUSED = [
    (["glue_search", "glue_search_full", "train.lr_full=1e-5,1e-4"], "equal searches.* lora: [0-9]+ .* full: 2 "),
    (["glue_small"], "train.select_on=dev.*chooses on rows that are not reported"),
    (["glue_serch"], "glue_search"),
    (["task=rte"], "search needs the name of an experiment, got task=rte"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_searches_that_say_nothing_are_refused(words, message, tmp_path, capsys):
    assert main(["search", *words, "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said, re.DOTALL), said


def test_other_validation_rows_are_refused(tmp_path, capsys):
    leave_all(tmp_path)
    cell = cells()[0]
    data = {"train": {"n": 9, "sha256": "bb"}, "validation": {"n": 277, "sha256": "others"}}
    leave(tmp_path, cell, 0.7, data=data)
    assert main(["search", *TWO, "--results", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "trials of mrpc cannot be compared: checksum of the validation rows is" in said
    assert f"others in {cell.run_id}" in said


def test_the_figure(tmp_path, capsys):
    leave_all(tmp_path)
    for name in ("curves.svg", "curves.png", "curves.pdf"):
        assert main(["search", *TWO, "--results", str(tmp_path), "--figure", str(tmp_path / name)]) == 0
        first = (tmp_path / name).read_bytes()
        assert main(["search", *TWO, "--results", str(tmp_path), "--figure", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes() == first
    assert "lora" in (tmp_path / "curves.svg").read_text()
    assert main(["search", *TWO, "--results", str(tmp_path), "--figure", str(tmp_path / "curves.txt")]) == 1
    assert "must end in one of .svg, .png, .pdf" in capsys.readouterr().err
