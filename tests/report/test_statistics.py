"""Whether a difference is more than chance."""

import math
import random

import numpy as np
import pytest
from scipy.stats import ttest_ind

from dsee_bench.report.statistics import insignificant, over_examples, over_seeds


def test_the_paired_t_test_over_common_seeds():
    told = over_seeds({0: 10.0, 1: 20.0, 2: 30.0, 9: 99.0}, {0: 11.0, 1: 22.0, 2: 33.0, 7: 0.0})
    # Differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3). Student's t with 2 degrees: p = 1 - t / sqrt(2 + t^2).
    t = 2 * math.sqrt(3)
    assert (told.a, told.b, told.seeds) == (20.0, 22.0, 3)
    assert told.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-12)


def test_one_common_seed_tells_nothing():
    assert over_seeds({0: 1.0, 1: 2.0}, {1: 3.0, 2: 4.0}) is None


def test_the_same_difference_in_every_seed_has_no_p_value():
    assert over_seeds({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0}).p_value is None


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


def test_significance_equals_scipys_on_the_raw_samples():
    generator = np.random.default_rng(0)
    best, *samples = (
        generator.normal(shift, 1.0, size) for shift, size in [(0, 5), (0, 3), (1, 4), (2, 5), (3, 2), (4, 6)]
    )
    told = [bool(ttest_ind(each, best, equal_var=False).pvalue >= 0.05) for each in samples]
    assert insignificant([each.tolist() for each in samples], best.tolist()) == told
    assert {True, False} == set(told)


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
