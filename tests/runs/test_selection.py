"""train.select_on: which rows choose the checkpoint, and what of it is seen in record, plan, log and figures."""

import json

import pytest

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.runs import sweep

RUN = ["backbone=tiny-bert", "method=full", "train.epochs=2", "task.rows.dev=32", "threads=1"]
HELD_OUT = "train.select_on=validation"


def finish(folder, *words):
    resolved = sweep.resolved([*RUN, f"results_dir={folder}", *words])
    assert run(resolved) == 0
    return record.read(record.path_of(config.run_id(resolved), folder))


def test_validation_rows_choose_and_dev_reports(tmp_path, capsys):
    found = finish(tmp_path, HELD_OUT)
    assert found.checkpoint == "best validation"
    assert {name: split["n"] for name, split in found.data.items()} == {"train": 921, "validation": 103, "dev": 32}
    assert [score.split for score in found.scores] == ["validation", "dev"]
    (tuned,) = found.stages
    scores = {point["step"]: point["accuracy"] for point in tuned.facts["dev"]}
    assert tuned.facts["scored_on"] == "validation"
    assert scores[tuned.facts["best_step"]] == max(scores.values()) == found.score("accuracy", "validation")
    assert (tuned.facts["rows"], tuned.facts["steps"]) == (921, 2 * 29)  # 1,024 - 103 rows in batches of 32
    assert "validation accuracy" in capsys.readouterr().err
    lines = (tmp_path / "work" / found.run_id / "curve.jsonl").read_text().splitlines()
    assert {row["split"] for row in map(json.loads, lines) if row["metric"]} == {"validation"}


def test_all_methods_and_seeds_have_the_same_validation_rows(tmp_path):
    words = [HELD_OUT, "train.epochs=1", "train.max_rows=32"]
    runs = [finish(tmp_path, *words, *more) for more in (["seed=0"], ["seed=1"], ["method=lora"])]
    assert len({found.data["validation"]["sha256"] for found in runs}) == 1
    other = finish(tmp_path, *words, "train.validation_seed=1")
    assert other.data["validation"]["sha256"] != runs[0].data["validation"]["sha256"]


def test_a_finished_run_is_found_again(tmp_path, capsys):
    words = [HELD_OUT, "train.epochs=1", "train.max_rows=32"]
    finish(tmp_path, *words)
    capsys.readouterr()
    finish(tmp_path, *words)
    assert "force=true runs it again" in capsys.readouterr().out


def test_the_plan_counts_the_rows_that_are_left():
    settings = plan.read(sweep.resolved([*RUN, HELD_OUT, "train.validation=24"]))
    (step,) = plan.plan(settings).steps
    assert step.steps == 2 * 32  # 1,000 rows in batches of 32


REFUSED = [
    (["train.validation=0.2"], "validation=0.2 .* read by select_on=validation alone"),
    ([HELD_OUT, "train.validation=null"], "validation=None .* do not go with select_on=validation"),
    ([HELD_OUT, "train.validation=1.5"], "a share below 1 or a whole number of rows, got 1.5"),
    ([HELD_OUT, "train.validation=0"], "validation must be above 0, got 0"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_settings_that_do_not_go_together_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        plan.read(sweep.resolved([*RUN, *words]))


def test_every_recipe_can_hold_rows_out():
    for name in config.options("train"):
        recipe = plan.read(sweep.resolved([*RUN, HELD_OUT, f"train={name}"])).recipe
        assert (recipe.validation, recipe.validation_seed) == (0.1, 0)
