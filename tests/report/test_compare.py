"""dsee-report compare: two runs side by side."""

import dataclasses
import math

import pytest
from made_up import keep_answers
from omegaconf import OmegaConf
from sacrebleu import corpus_bleu
from scipy.stats import t

from dsee_bench import config, record
from dsee_bench.record import Record, Score
from dsee_bench.report.compare import compare_text


def lines_of(text, title):
    """The cells of the section of that title, without its head."""
    (section,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return [line.split() for line in section.splitlines()[3:]]


@pytest.fixture
def pair(make, tmp_path):
    """LoRA and DSEE over three seeds; the runs of seed 0."""
    for seed in range(3):
        record.write(make(method="lora", seed=seed, value=0.60 + 0.02 * seed, sparsity=0.0), tmp_path)
        record.write(make(method="dsee", seed=seed, value=0.61 + 0.03 * seed), tmp_path)
        record.write(make(method="dsee", seed=seed, value=0.99, sparsity=0.5), tmp_path)  # other settings: not counted
    return make(method="lora", value=0.60, sparsity=0.0), make(method="dsee", value=0.61)


def test_it_shows_settings_scores_costs_and_seeds(pair, tmp_path):
    text = compare_text(*pair, tmp_path, record.read_all(tmp_path))
    assert ["prune.sparsity", "0.0", "0.2"] in [[row[0][-14:], *row[1:]] for row in lines_of(text, "settings")]
    assert lines_of(text, "scores") == [["accuracy", "dev", "0.6000", "0.6100", "0.0100", "277"]]
    assert ["sparsity_masked", "0.0000", "0.2000", "0.2000"] in lines_of(text, "costs")
    ((_, _, a, b, difference, low, _, high, seeds, p_value, equal),) = lines_of(text, "over seeds")
    assert (a, b, difference, seeds) == ("62.00", "64.00", "+2.00", "3")
    assert p_value == "0.074"  # differences 1, 2, 3: 1 - t / sqrt(2 + t^2) with t = 2 sqrt(3)
    assert (low, high) == ("+1.00", "+3.00")  # 1 of 27 draws has each mean: more than 2.5 %
    assert equal == "0.887"  # above 1 by sqrt(3) errors: (1 + t / sqrt(2 + t^2)) / 2 with t = sqrt(3)
    assert "answers of the two runs are missing" in text


def test_other_tasks_are_pooled(pair, make, tmp_path):
    for seed, gain in enumerate((0.00, 0.01, 0.02)):
        record.write(make("sst2", "lora", seed, 0.80, sparsity=0.0), tmp_path)
        record.write(make("sst2", "dsee", seed, 0.80 + gain), tmp_path)
    text = compare_text(*pair, tmp_path, record.read_all(tmp_path), margin=4)
    rte, sst2, mean = lines_of(text, "over tasks")
    assert rte[:6] == ["rte", "accuracy", "dev", "62.00", "64.00", "+2.00"]
    assert sst2[:6] == ["sst2", "accuracy", "dev", "80.00", "81.00", "+1.00"]
    assert mean[:7] == ["mean", "over", "2", "tasks", "71.00", "72.50", "+1.50"]
    # Both tasks have the variance 1 / 3 of their means: error sqrt(2 / 3) / 2, four degrees of freedom.
    error = math.sqrt(2 / 3) / 2
    assert float(mean[-2]) == pytest.approx(2 * t.sf(1.5 / error, 4), abs=5e-4)
    assert float(mean[-1]) == pytest.approx(t.sf(2.5 / error, 4), abs=5e-4)
    assert "p within ±4" in text


def test_kept_answers_are_resampled(pair, tmp_path, monkeypatch):
    monkeypatch.setattr("dsee_bench.report.statistics.RESAMPLES", 200)  # a draw takes milliseconds
    truth = [0, 1] * 50
    for run, wrong in zip(pair, (40, 10), strict=True):
        said = [1 - label if place < wrong else label for place, label in enumerate(truth)]
        keep_answers(tmp_path, run.run_id, "classification", "dev", said, truth)
    ((*_, difference, low, _, high, examples),) = lines_of(
        compare_text(*pair, tmp_path, record.read_all(tmp_path)), "over examples"
    )
    assert difference == "+0.3000"
    assert 0.2 < float(low) < 0.3 < float(high) < 0.4
    assert examples == "100"


def test_a_metric_of_probabilities_draws_from_them(make, tmp_path, monkeypatch):
    monkeypatch.setattr("dsee_bench.report.statistics.RESAMPLES", 200)
    truth, half = [0, 1] * 50, [[0.5, 0.5]] * 100
    right = [[0.9, 0.1], [0.1, 0.9]] * 50
    scores = tuple(
        Score(name, 0.5, "0-1", "higher", "dev", 100, f"{name}|1") for name in ("roc_auc", "average_precision")
    )
    runs = [dataclasses.replace(make(method=method), scores=scores) for method in ("lora", "dsee")]
    for run, shares in zip(runs, (half, right), strict=True):
        keep_answers(tmp_path, run.run_id, "classification", "dev", truth, truth, probabilities=shares)
    lines = lines_of(compare_text(*runs, tmp_path, runs), "over examples")
    assert lines[0] == ["roc_auc", "dev", "+0.5000", "+0.5000", "to", "+0.5000", "100"]


def test_what_cannot_be_compared_is_refused(make, tmp_path):
    wrong = [
        (make("rte"), make("sst2"), "compare runs of one task"),
        (make(), make(status="failed"), "is failed and has no scores"),
        (make(), make(sha256="other"), "checksum aa and other"),
        (make(), make(signature="accuracy|other"), "signature 'accuracy|made-up' and 'accuracy|other'"),
    ]
    for a, b, says in wrong:
        with pytest.raises(ValueError) as refused:
            compare_text(a, b, tmp_path, [])
        assert says in str(refused.value)


def test_kept_texts_are_resampled_for_the_scores_that_are_sums(tmp_path):
    """B writes the reference where A leaves a word out; METEOR is no sum over texts and is not told."""
    task = OmegaConf.to_container(config.compose(["task=e2e", "task.metrics=[BLEU,METEOR]"]).task, resolve=True)
    references = [[f"the place {number} is a cheap pub"] for number in range(30)]
    said = {
        "a": [f"the place {number} is a pub" if number % 3 else text for number, (text,) in enumerate(references)],
        "b": [text for (text,) in references],
    }
    runs = []
    for name, texts in said.items():
        scores = tuple(Score(metric, 1.0, "0-100", "higher", "test", 30, metric) for metric in ("BLEU", "METEOR"))
        data = {"test": {"n": 30, "sha256": "aa"}}
        runs.append(Record(name, "finished", {"seed": 0, "task": task}, {}, scores=scores, data=data))
        record.write(runs[-1], tmp_path)
        keep_answers(tmp_path, name, "generation", "test", texts, references, categories=[None] * 30)
    ((name, split, difference, low, _, high, texts),) = lines_of(compare_text(*runs, tmp_path, runs), "over examples")
    assert (name, split, texts) == ("BLEU", "test", "30")
    expected = 100 - corpus_bleu(said["a"], [[text for (text,) in references]], lowercase=True).score
    assert float(difference) == pytest.approx(expected, abs=1e-3)
    assert 0 < float(low) < float(difference) < float(high) < 100
