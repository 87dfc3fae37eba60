"""Class weights: scikit-learn's formula, torch's losses, and the same gradient however a batch is split."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from tiny_jobs import job, weights

from dsee_bench import plan
from dsee_bench.config import ConfigError
from dsee_bench.runs import sweep
from dsee_bench.training.class_weights import class_weights
from dsee_bench.training.train import loss_batches, tune

LABELS = [0, 0, 0, 0, 0, 1, 2, 2]


def test_balanced_weights_of_classes_are_those_of_scikit_learn():
    made = class_weights("balanced", LABELS, classes=3, multi_label=False)
    assert made.values == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=np.array(LABELS)))
    assert made.values == pytest.approx((8 / 15, 8 / 3, 8 / 6)), "by hand: 8 rows / (3 classes x 5, 1 and 2)"


def test_a_class_without_a_row_has_weight_one_and_changes_no_other():
    made = class_weights("balanced", [0, 0, 2], classes=3, multi_label=False)
    assert made.values == pytest.approx((3 / 4, 1.0, 3 / 2))


def test_balanced_weights_of_labels_are_negatives_over_positives():
    rows = [[1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]]
    assert class_weights("balanced", rows, classes=4, multi_label=True).values == pytest.approx((3, 1, 1, 1))


def test_losses_are_those_of_torch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 3, generator=generator)
    values = (0.5, 4.0, 1.5)
    made = class_weights(values, LABELS, classes=3, multi_label=False, smoothing=0.1)
    module = torch.nn.CrossEntropyLoss(weight=torch.tensor(values), label_smoothing=0.1)
    assert made.loss(logits, torch.tensor(LABELS)) == module(logits, torch.tensor(LABELS))
    truth = (torch.rand(8, 3, generator=generator) > 0.6).float()
    made = class_weights(values, truth.tolist(), classes=3, multi_label=True)
    assert made.loss(logits, truth) == torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(values))(logits, truth)


def test_by_hand():
    """Two rows of classes 0 and 1 with even logits: each loses ln 2, whatever the weights; the amounts add up."""
    made = class_weights((1.0, 3.0), [0, 1], classes=2, multi_label=False)
    assert made.loss(torch.zeros(2, 2), torch.tensor([0, 1])).item() == pytest.approx(np.log(2))
    sure = torch.tensor([[np.log(3.0), 0.0], [np.log(3.0), 0.0]])  # probabilities 3/4 and 1/4 in both rows
    expected = (1 * -np.log(3 / 4) + 3 * -np.log(1 / 4)) / 4
    assert made.loss(sure, torch.tensor([0, 1])).item() == pytest.approx(expected)
    assert made.amount([0, 1, 1]) == 7


def uneven(one):
    """The tuning with one row in four of class 1."""
    rows = [dataclasses.replace(row, label=int(at % 4 == 0)) for at, row in enumerate(one.train.examples)]
    return dataclasses.replace(one, train=dataclasses.replace(one.train, examples=tuple(rows)))


def test_parts_of_a_batch_have_the_gradient_of_the_whole(tmp_path, float64):
    """Parts have other shares of the classes: the mean of their weighted means is not that of the batch."""
    ends = []
    for accumulate in (1, 4):
        one = uneven(
            job(tmp_path, "train.max_rows=82", "train.batch_size=32", "train.epochs=1", "train.select_on=last",
                "train.max_grad_norm=null", f"train.gradient_accumulation_steps={accumulate}",
                "train.class_weights=balanced")
        )  # fmt: skip
        one.model.double()
        report = tune(one)
        ends.append(weights(one.model))
    counts = np.array([61, 21])  # of 82 rows, one in four
    assert report.class_weights == pytest.approx(82 / (2 * counts))
    assert report.facts()["class_weights"] == report.class_weights
    assert torch.allclose(ends[0], ends[1], rtol=0, atol=1e-9)


def test_weights_reach_the_training_and_no_weights_are_reported_without(tmp_path):
    ends = {}
    for wanted in ("null", "[1,1]", "[1,8]"):
        one = uneven(job(tmp_path, "train.select_on=last", "train.epochs=1", f"train.class_weights={wanted}"))
        assert ("class_weights" in tune(one).facts()) == (wanted != "null")
        ends[wanted] = weights(one.model)
    assert torch.allclose(ends["null"], ends["[1,1]"], atol=1e-6)
    assert not torch.allclose(ends["null"], ends["[1,8]"], atol=1e-4)


def test_scores_of_groups_take_the_weighted_loss(tmp_path):
    """One batch of all 64 rows, whatever their order."""
    one = uneven(job(tmp_path, "train.class_weights=[1,8]", "train.batch_size=64"))
    rows = tuple(one.train.examples)[:64]
    train = dataclasses.replace(one.train, examples=rows)
    (loss,) = loss_batches(one.model, one.setup, train, batches=1, seed=0)
    texts = zip(*(row.texts for row in rows), strict=True)
    inputs = one.setup.tokenizer(*texts, padding=True, return_tensors="pt")
    labels = torch.tensor([row.label for row in rows])
    with torch.no_grad():
        logits = one.model.eval()(**inputs).logits
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=torch.tensor([1.0, 8.0]))
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert loss.item() != pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), abs=1e-4)


def test_a_batch_in_parts_has_the_loss_of_the_whole(tmp_path):
    sums = []
    for accumulate in (1, 4):
        words = ("train.class_weights=[1,8]", f"train.gradient_accumulation_steps={accumulate}")
        one = uneven(job(tmp_path, *words))
        sums.append(sum(loss.item() for loss in loss_batches(one.model, one.setup, one.train, batches=1, seed=0)))
    assert sums[0] == pytest.approx(sums[1], abs=1e-5)


REFUSED = [
    (["task=stsb", "train.class_weights=balanced"], "needs classes or labels; its kind is regression"),
    (["task=e2e", "backbone=tiny-gpt2", "train.class_weights=balanced"], "its kind is generation"),
    (["task=rte", "train.class_weights=[1,2,3]"], "has 3 weights for 2 classes (entailment, not_entailment)"),
    (["task=rte", "train.class_weights=[1,0]"], "train.class_weights"),
    (["task=rte", "train.class_weights=even"], "train.class_weights"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_weights_that_do_not_fit_are_refused(words, message):
    with pytest.raises(ConfigError) as error:
        plan.plan(plan.read(sweep.resolved(words)))
    assert message in str(error.value)


def test_no_weights_leave_the_run_id_as_it_is():
    ids = {plan.read(sweep.resolved(words)).run_id for words in ([], ["train.class_weights=null"])}
    assert len(ids) == 1
    assert plan.read(sweep.resolved(["train.class_weights=balanced"])).run_id not in ids
