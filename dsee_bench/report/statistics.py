"""Significance: whether a difference between two methods is more than chance. scipy does the statistics.

Two questions. Would other seeds reverse it? A t-test over seeds. Would other examples? A paired bootstrap over the
answers of two runs (Koehn 2004), which says nothing about seeds.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsee_bench.metrics import Sums

SIGNIFICANT = 0.05  # the p-value that a significant difference stays below
RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class OverSeeds:
    """B against A over the seeds that both have."""

    a: float  # mean of A
    b: float  # mean of B
    seeds: int
    p_value: float | None  # None where every seed has the same difference


@dataclass(frozen=True)
class OverExamples:
    """B minus A on the same examples, with the 95 % interval; None where it is undefined on some resample."""

    difference: float
    low: float | None
    high: float | None
    examples: int


def insignificant(samples: Sequence[Sequence[float]], best: Sequence[float]) -> list[bool]:
    """Return for each sample over seeds whether Welch's t-test finds no significant difference from `best`.

    False where one of the two has fewer than two seeds, or neither has any spread.
    """
    spread = stdev(best) if len(best) > 1 else 0.0
    testable = [len(best) > 1 and len(sample) > 1 and max(stdev(sample), spread) > 0 for sample in samples]
    if not any(testable):
        return testable
    import numpy as np
    from scipy.stats import ttest_ind_from_stats

    tested = [(fmean(s), stdev(s), len(s)) for s, can_be in zip(samples, testable, strict=True) if can_be]
    test = ttest_ind_from_stats(*np.transpose(tested), fmean(best), spread, len(best), equal_var=False)
    p_values = iter(test.pvalue)
    return [can_be and bool(next(p_values) >= SIGNIFICANT) for can_be in testable]


def over_seeds(a: Mapping[int, float], b: Mapping[int, float]) -> OverSeeds | None:
    """Return a paired t-test over the common seeds of two methods (seed -> score); None for fewer than two."""
    seeds = sorted(a.keys() & b.keys())
    if len(seeds) < 2:
        return None
    from scipy.stats import ttest_rel

    left, right = [a[seed] for seed in seeds], [b[seed] for seed in seeds]
    constant = len({b[seed] - a[seed] for seed in seeds}) == 1
    return OverSeeds(fmean(left), fmean(right), len(seeds), None if constant else float(ttest_rel(right, left).pvalue))


def over_texts(a: "Sums", b: "Sums") -> OverExamples:
    """Return a percentile bootstrap of a corpus score's difference, with the same texts drawn for A and B."""
    import numpy as np

    left, right = np.asarray(a.rows), np.asarray(b.rows)
    texts = len(left)
    counts = np.random.default_rng(0).multinomial(texts, np.full(texts, 1 / texts), size=RESAMPLES)  # of each text
    sums = zip((counts @ left).tolist(), (counts @ right).tolist(), strict=True)
    differences = [b.score(of_b) - a.score(of_a) for of_a, of_b in sums]
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in np.quantile(differences, [tail, 1 - tail]))
    return OverExamples(b.score(right.sum(0).tolist()) - a.score(left.sum(0).tolist()), low, high, texts)


def over_examples(
    metric: str,
    a: Sequence[Any],  # answers of A, or probabilities for a metric that takes them, one an example
    b: Sequence[Any],
    references: Sequence[Any],
) -> OverExamples:
    """Return a percentile bootstrap of the metric's difference, with the same examples drawn for A and B."""
    import numpy as np
    from scipy.stats import DegenerateDataWarning, bootstrap

    from dsee_bench import metrics

    compute = metrics.find(metric)

    left, right, truth = map(np.asarray, (a, b, references))

    def difference(drawn: Any) -> float:  # positions of examples
        of_a, of_b = (compute(answers[drawn].tolist(), truth[drawn].tolist()).value for answers in (left, right))
        return math.nan if of_a is None or of_b is None else float(of_b - of_a)

    every = np.arange(len(references))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # an undefined draw: the interval is None then
        result = bootstrap(
            (every,),
            difference,
            vectorized=False,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        )
    low, high = (float(end) for end in result.confidence_interval)
    defined = not (math.isnan(low) or math.isnan(high))
    return OverExamples(difference(every), low if defined else None, high if defined else None, len(references))


def expected_best(values: Sequence[float], better: str = "higher") -> list[float]:
    """Return the expected best of 1, 2, ... draws with replacement from `values` (Dodge et al. 2019, equation 5).

    The best of n draws is at most the i-th smallest of N values with the chance (i / N) ** n.
    """
    best_last = sorted(values, reverse=better == "lower")
    total = len(best_last)
    return [
        sum(value * ((place / total) ** draws - ((place - 1) / total) ** draws)
            for place, value in enumerate(best_last, 1))
        for draws in range(1, total + 1)
    ]  # fmt: skip
