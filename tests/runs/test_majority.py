"""method=majority: always the most frequent answer of the training rows, without a model."""

import csv
import math
from collections import Counter

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.runs import sweep
from dsee_bench.runs.majority import constant_logits
from dsee_bench.training.evaluate import answers_of


def finish(folder, *words):
    resolved = sweep.resolved(["method=majority", "backbone=tiny-bert", f"results_dir={folder}", *words])
    code = run(resolved)
    return code, record.read(record.path_of(config.run_id(resolved), folder))


def rows_in(folder, name, rows):
    path = folder / name
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def custom(folder, train, dev, *words):
    files = [f"task.{name}={rows_in(folder, f'{name}.csv', rows)}" for name, rows in (("train", train), ("dev", dev))]
    return finish(folder, "task=custom", *files, *words)


def test_it_is_the_share_of_trains_most_frequent_class(tmp_path):
    """Class b has 3 of 5 rows of train, and 1 of 4 of dev, where a is more frequent."""
    train = [(f"text {at}", label) for at, label in enumerate("abbab")]
    dev = [(f"other {at}", label) for at, label in enumerate("aaba")]
    code, found = custom(tmp_path, train, dev, "task.labels=[a,b]")
    assert code == 0
    assert found.score("accuracy") == 0.25
    assert found.checkpoint is None
    assert (found.cost("trainable_parameters"), found.stages) == (0, ())
    assert {name: split["n"] for name, split in found.data.items()} == {"train": 5, "dev": 4}


def test_max_rows_are_the_rows_that_count(tmp_path):
    train = [(f"text {at}", label) for at, label in enumerate("aabbb")]
    _, found = custom(tmp_path, train, train, "task.labels=[a,b]", "train.max_rows=3")
    assert found.score("accuracy") == 2 / 5


def test_a_regression_gives_the_mean(tmp_path):
    rows = [(f"text {at}", value) for at, value in enumerate((1.0, 2.0, 6.0))]
    code, found = custom(tmp_path, rows, rows, "task.kind=regression", "task.metrics=[pearson]", "task.labels=[]")
    assert code == 0
    (score,) = found.scores
    assert (score.value, score.reason) == (None, "the answers are all the same, correlation is undefined")


def test_validation_rows_are_scored_too(tmp_path):
    code, found = finish(tmp_path, "task=toy_pairs", "train.select_on=validation", "task.rows.dev=32")
    assert code == 0
    assert [score.split for score in found.scores] == ["validation", "dev"]
    assert finish(tmp_path, "task=toy_pairs", "train.select_on=validation", "task.rows.dev=32") == (0, found)


def test_classes_are_sklearns_and_their_probabilities_the_shares():
    labels = [2, 0, 2, 1, 2, 0, 2]
    logits = np.array([constant_logits("classification", labels, 4)])
    assert answers_of(logits, "classification") == DummyClassifier(strategy="prior").fit(labels, labels).predict([[0]])
    assert np.exp(logits[0]) == pytest.approx([2 / 7, 1 / 7, 4 / 7, 0], abs=1e-9)
    assert answers_of(np.array([constant_logits("classification", [1, 0], 2)]), "classification") == [0]  # the first


def test_a_mean_is_sklearns():
    labels = [0.5, 2.0, 4.25]
    (mean,) = DummyRegressor().fit(labels, labels).predict([[0]])
    assert constant_logits("regression", labels, 1) == pytest.approx([mean])


def test_of_several_labels_those_of_more_than_half_of_the_rows():
    """Three of four rows have the first label, one the second, none the third."""
    odds = constant_logits("multi_label", [(1, 0, 0), (1, 1, 0), (0, 0, 0), (1, 0, 0)], 3)
    assert odds[:2] == pytest.approx([math.log(3), -math.log(3)])
    assert odds[2] < -20


def test_of_choices_the_most_frequent_place():
    places = [1, 1, 0, 3]
    logits = constant_logits("multiple_choice", places, 0)
    assert len(logits) == 4
    assert int(np.argmax(logits)) == Counter(places).most_common(1)[0][0]


REFUSED = [
    (["task=e2e", "backbone=tiny-gpt2"], "task e2e asks for texts"),
    (["measure=true"], "has no model to time; leave measure out"),
    (["export=somewhere"], "has no model to export; leave export out"),
    (["method=full", "+method.answers=most_frequent"], r"its stages must be \{\}, got tune"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_needs_a_model_is_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        plan.plan(plan.read(sweep.resolved(["method=majority", "backbone=tiny-bert", "task=toy_pairs", *words])))
