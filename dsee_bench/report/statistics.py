"""Statistics of scores: whether a difference is more than chance. scipy and statsmodels do the computing.

Two questions. Would other seeds reverse it? Intervals and tests over seeds, task by task. Would other examples? A
paired bootstrap over the answers of two runs (Koehn 2004), which says nothing about seeds.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, stdev, variance
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsee_bench.metrics import Sums

SIGNIFICANT = 0.05  # the p-value that a significant difference stays below
RESAMPLES = 1000  # of examples
SEED_RESAMPLES = 10_000  # of seeds, which cost little
CONFIDENCE = 0.95
NO_SPREAD = 1e-9  # what rounding may leave of equal differences
PERCENT_UNITS = ("0-1", "-1-1")  # shown times 100, as papers print them: in points
Scores = Mapping[str, Mapping[int, float]]  # task -> seed -> score


@dataclass(frozen=True)
class Difference:
    """B minus A by task and seed, over the seeds that both have."""

    by_task: Mapping[str, tuple[float, ...]]  # one difference a seed

    @property
    def mean(self) -> float:
        """The mean over tasks of the mean over seeds."""
        return fmean(map(fmean, self.by_task.values()))

    @property
    def seeds(self) -> int:
        """The smallest number of seeds of a task."""
        return min(map(len, self.by_task.values()))

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % percentile interval of a bootstrap of the seeds within each task; None for one seed.

        Tasks are strata, as in rliable (Agarwal et al. 2021): each keeps its number of seeds in every draw.
        """
        if self.seeds < 2:
            return None
        import numpy as np
        from scipy.stats import bootstrap

        def mean_over_tasks(*samples: Any, axis: int) -> Any:
            return np.mean([np.mean(sample, axis=axis) for sample in samples], axis=0)

        if all(max(values) - min(values) < NO_SPREAD for values in self.by_task.values()):
            return self.mean, self.mean
        result = bootstrap(
            tuple(map(np.asarray, self.by_task.values())),
            mean_over_tasks,
            n_resamples=SEED_RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        )
        return float(result.confidence_interval.low), float(result.confidence_interval.high)

    def p_above(self, bound: float) -> float | None:
        """Return the p-value of a one-sided t-test that the mean is above `bound`; None without any spread.

        Each task has a variance of its own, so the degrees of freedom are Satterthwaite's. With one task this is the
        paired t-test.
        """
        if self.seeds < 2:
            return None
        parts = [variance(values) / len(values) for values in self.by_task.values()]
        if sum(parts) < NO_SPREAD**2:
            return None
        from scipy.stats import t

        freedom = sum(parts) ** 2 / sum(
            part**2 / (len(values) - 1) for part, values in zip(parts, self.by_task.values(), strict=True)
        )
        error = math.sqrt(sum(parts)) / len(parts)
        return float(t.sf((self.mean - bound) / error, freedom))

    @property
    def p_value(self) -> float | None:
        """Of the two-sided t-test that the mean is not 0."""
        above = self.p_above(0)
        return None if above is None else 2 * min(above, 1 - above)

    def p_equivalent(self, margin: float) -> float | None:
        """Return the larger p-value of two one-sided t-tests that the mean is within ±margin (Schuirmann 1987)."""
        low, high = self.p_above(-margin), self.p_above(margin)
        return None if low is None or high is None else max(low, 1 - high)


def factor(unit: str) -> int:
    """Return what a score of this unit is multiplied by to be in points."""
    return 100 if unit in PERCENT_UNITS else 1


def difference(a: Scores, b: Scores) -> Difference | None:
    """Return B minus A on the tasks and seeds that both have; None where there is no such seed."""
    by_task = {
        task: tuple(b[task][seed] - a[task][seed] for seed in sorted(a[task].keys() & b[task].keys()))
        for task in a
        if task in b
    }
    by_task = {task: values for task, values in by_task.items() if values}
    return Difference(by_task) if by_task else None


def insignificant(samples: Sequence[Sequence[float]], best: Sequence[float]) -> list[bool]:
    """Return for each sample over seeds whether Welch's t-test finds no significant difference from `best`.

    The p-values of all samples but `best` itself are corrected for their number (Holm 1979). False where one of the
    two has fewer than two seeds, or neither has any spread.
    """
    spread = stdev(best) if len(best) > 1 else 0.0
    testable = [
        sample is not best and len(best) > 1 and len(sample) > 1 and max(stdev(sample), spread) > 0
        for sample in samples
    ]
    if not any(testable):
        return testable
    import numpy as np
    from scipy.stats import ttest_ind_from_stats

    tested = [(fmean(s), stdev(s), len(s)) for s, can_be in zip(samples, testable, strict=True) if can_be]
    test = ttest_ind_from_stats(*np.transpose(tested), fmean(best), spread, len(best), equal_var=False)
    p_values = iter(holm(test.pvalue.tolist()))
    return [can_be and next(p_values) >= SIGNIFICANT for can_be in testable]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for their number by Holm's method."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]


@cache
def above_chance(accuracy: float, examples: int, chance: float) -> bool:
    """Return whether a binomial test finds so many right answers more than those of always one class."""
    from scipy.stats import binomtest

    right = round(accuracy * examples)
    return bool(binomtest(right, examples, chance, alternative="greater").pvalue < SIGNIFICANT)


@dataclass(frozen=True)
class OverExamples:
    """B minus A on the same examples, with the 95 % interval; None where it is undefined on some resample."""

    difference: float
    low: float | None
    high: float | None
    examples: int


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
