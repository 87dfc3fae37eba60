"""Whether a difference is more than chance."""

import math
import random

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp, ttest_ind
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from dsee_bench.report.statistics import Difference, above_chance, difference, holm, insignificant, over_examples


def test_the_paired_t_test_over_common_seeds():
    a, b = {0: 10.0, 1: 20.0, 2: 30.0, 9: 99.0}, {0: 11.0, 1: 22.0, 2: 33.0, 7: 0.0}
    told = difference({"rte": a}, {"rte": b})
    # Differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3). Student's t with 2 degrees: p = 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert told.by_task == {"rte": (1.0, 2.0, 3.0)}
    assert (told.mean, told.seeds) == (2.0, 3)
    assert told.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-12)


def test_one_common_seed_tells_nothing():
    told = difference({"rte": {0: 1.0, 1: 2.0}}, {"rte": {1: 3.0, 2: 4.0}})
    assert (told.mean, told.interval(), told.p_value, told.p_equivalent(1)) == (1.0, None, None, None)
    assert difference({"rte": {0: 1.0}}, {"rte": {1: 1.0}, "cola": {0: 2.0}}) is None


def test_the_same_difference_in_every_seed_has_no_p_value():
    told = difference({"rte": {0: 1.0, 1: 2.0}}, {"rte": {0: 2.0, 1: 3.0}})
    assert (told.p_value, told.interval()) == (None, (1.0, 1.0))


def test_the_test_over_two_tasks_is_welchs():
    """A mean of two tasks' means is half of x - y with y the negative of the second task's differences."""
    x, y = (1.0, 2.5, 1.5, 2.0), (0.5, -3.0, 4.0)
    welch = ttest_ind(x, [-value for value in y], equal_var=False)
    told = Difference({"rte": x, "cola": y})
    assert told.mean == pytest.approx((1.75 + 0.5) / 2)
    assert told.p_value == pytest.approx(welch.pvalue, abs=1e-12)


def test_equivalence_is_two_one_sided_tests():
    values = (0.2, -0.1, 0.4, 0.1, 0.0)
    above = ttest_1samp(values, -0.5, alternative="greater").pvalue
    below = ttest_1samp(values, 0.5, alternative="less").pvalue
    assert Difference({"rte": values}).p_equivalent(0.5) == pytest.approx(max(above, below), abs=1e-12)
    zeros = np.zeros(len(values))
    assert Difference({"rte": values}).p_equivalent(0.5) == pytest.approx(
        ttost_paired(np.array(values), zeros, -0.5, 0.5)[0], abs=1e-12
    )


def test_the_interval_over_tasks_and_seeds():
    """With many seeds the interval is the normal one; of two seeds one draw in four has the smaller one twice."""
    generator = np.random.default_rng(1)
    strata = {"rte": tuple(generator.normal(1, 2, 60)), "cola": tuple(generator.normal(-2, 1, 40))}
    error = math.sqrt(sum(np.var(values) / len(values) for values in strata.values())) / 2
    told = Difference(strata)
    low, high = told.interval()
    assert low == pytest.approx(told.mean - 1.96 * error, abs=0.12 * error)
    assert high == pytest.approx(told.mean + 1.96 * error, abs=0.12 * error)
    assert Difference({"rte": (0.0, 8.0)}).interval() == (0.0, 8.0)


def test_holm_by_hand():
    """Sorted .005, .01, .03, .04 times 4, 3, 2, 1, and never below the one before: .02, .03, .06, .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


CHANCE = [
    # of 10 tosses at 1/2, 8 or more have the chance (45 + 10 + 1) / 1024 = .055, 9 or more 11 / 1024 = .011
    (0.8, 10, 0.5, False),
    (0.9, 10, 0.5, True),
    (146 / 277, 277, 146 / 277, False),  # the majority itself, on RTE
    (160 / 277, 277, 146 / 277, False),
    (162 / 277, 277, 146 / 277, True),  # 1.9 standard deviations
]


@pytest.mark.parametrize(("accuracy", "examples", "chance", "above"), CHANCE)
def test_above_always_the_same_class(accuracy, examples, chance, above):
    assert above_chance(accuracy, examples, chance) is above
    assert (binom.sf(round(accuracy * examples) - 1, examples, chance) < 0.05) == above


NOISE = [
    # first,           second,              noise, why
    ((1.0, 2.0, 3.0), (1.5, 2.5, 3.5), True, "the spread is larger than the difference"),
    ((1.0, 1.1, 1.2), (9.0, 9.1, 9.2), False, "far apart"),
    ((1.0,), (1.1, 1.2), False, "one seed: not known, so not called a tie"),
    ((1.0, 1.0), (2.0, 2.0), False, "no spread at all: any difference is one"),
]


@pytest.mark.parametrize(("first", "second", "noise", "why"), NOISE)
def test_differences_that_are_not_significant(first, second, noise, why):
    assert insignificant([first, second], second)[0] is noise, why


def test_significance_equals_scipys_on_the_raw_samples_corrected_by_holm():
    generator = np.random.default_rng(0)
    best, *samples = (
        generator.normal(shift, 1.0, size) for shift, size in [(0, 5), (0, 3), (1, 4), (2, 5), (3, 2), (4, 6)]
    )
    p_values = [ttest_ind(each, best, equal_var=False).pvalue for each in samples]
    told = [bool(p >= 0.05) for p in multipletests(p_values, method="holm")[1]]
    values = best.tolist()
    assert insignificant([values, *(each.tolist() for each in samples)], values) == [False, *told]
    assert {True, False} == set(told)
    assert told != [p >= 0.05 for p in p_values]  # one is significant alone, and not among five


def test_the_bootstrap_of_accuracy_agrees_with_its_normal_approximation():
    generator = random.Random(0)
    truth = [generator.randint(0, 1) for _ in range(400)]
    a = [label if generator.random() < 0.6 else 1 - label for label in truth]
    b = [label if generator.random() < 0.7 else 1 - label for label in truth]
    gains = np.array([(right == label) - (left == label) for left, right, label in zip(a, b, truth, strict=True)])
    half = 1.96 * gains.std() / math.sqrt(len(gains))
    told = over_examples("accuracy", a, b, truth)
    assert told.difference == pytest.approx(gains.mean(), abs=1e-12)
    assert told.low == pytest.approx(gains.mean() - half, abs=0.15 * half)
    assert told.high == pytest.approx(gains.mean() + half, abs=0.15 * half)


def test_a_metric_undefined_on_some_draw_has_no_interval():
    """Of three examples, one in nine draws has the same one three times: Pearson's correlation is undefined there."""
    told = over_examples("pearson", [1.0, 2.0, 4.0], [1.0, 3.0, 2.0], [1.0, 2.0, 3.0])
    assert (told.low, told.high) == (None, None)
    assert told.difference < 0
