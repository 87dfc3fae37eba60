"""Whether a difference between two methods is more than chance; scipy does the statistics.

Two questions. Would other seeds turn it round? A t-test over seeds. Would other examples? A paired bootstrap over the
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

SIGNIFICANT = 0.05  # a difference with a larger p-value is called noise
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


def within_noise(samples: Sequence[Sequence[float]], best: Sequence[float]) -> list[bool]:
    """For each sample over seeds, whether Welch's t-test cannot tell it from `best`.

    False where one of the two has fewer than two seeds, or neither has any spread.
    """
    spread = stdev(best) if len(best) > 1 else 0.0
    fit = [len(best) > 1 and len(each) > 1 and max(stdev(each), spread) > 0 for each in samples]
    tested = [each for each, fits in zip(samples, fit, strict=True) if fits]
    if not tested:
        return fit
    import numpy as np
    from scipy.stats import ttest_ind_from_stats

    means, spreads, sizes = np.transpose([(fmean(each), stdev(each), len(each)) for each in tested])
    found = ttest_ind_from_stats(means, spreads, sizes, fmean(best), spread, len(best), equal_var=False)
    p_values = iter(found.pvalue)
    return [fits and bool(next(p_values) >= SIGNIFICANT) for fits in fit]


def over_seeds(a: Mapping[int, float], b: Mapping[int, float]) -> OverSeeds | None:
    """A paired t-test over the common seeds of two methods (seed -> score); None for fewer than two."""
    seeds = sorted(a.keys() & b.keys())
    if len(seeds) < 2:
        return None
    from scipy.stats import ttest_rel

    first, second = [a[seed] for seed in seeds], [b[seed] for seed in seeds]
    alike = len({right - left for left, right in zip(first, second, strict=True)}) == 1
    p_value = None if alike else float(ttest_rel(second, first).pvalue)
    return OverSeeds(math.fsum(first) / len(seeds), math.fsum(second) / len(seeds), len(seeds), p_value)


def over_texts(a: "Sums", b: "Sums") -> OverExamples:
    """A percentile bootstrap of a corpus score's difference, the same texts drawn for A and B (Koehn 2004)."""
    import numpy as np

    left, right = np.asarray(a.rows), np.asarray(b.rows)
    texts = len(left)
    drawn = np.random.default_rng(0).multinomial(texts, np.full(texts, 1 / texts), size=RESAMPLES)  # how often each
    differences = [
        b.score(second) - a.score(first)
        for first, second in zip((drawn @ left).tolist(), (drawn @ right).tolist(), strict=True)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(end) for end in np.quantile(differences, [tail, 1 - tail]))
    return OverExamples(b.score(right.sum(0).tolist()) - a.score(left.sum(0).tolist()), low, high, texts)


def over_examples(
    metric: str,
    a: Sequence[float],  # answers of A, one an example
    b: Sequence[float],
    references: Sequence[float],
) -> OverExamples:
    """A percentile bootstrap of the metric's difference, the same examples drawn for A and B; takes seconds."""
    import numpy as np
    from scipy.stats import DegenerateDataWarning, bootstrap

    from dsee_bench import metrics

    compute = metrics.find(metric)

    def difference(left: Any, right: Any, truth: Any) -> float:  # numpy arrays
        first, second = (compute(answers.tolist(), truth.tolist()).value for answers in (left, right))
        return math.nan if first is None or second is None else float(second - first)

    data = tuple(np.asarray(each) for each in (a, b, references))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # an undefined draw: told by None below
        found = bootstrap(
            data,
            difference,
            paired=True,
            vectorized=False,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            rng=np.random.default_rng(0),
        )
    low, high = (float(end) for end in found.confidence_interval)
    defined = not (math.isnan(low) or math.isnan(high))
    return OverExamples(difference(*data), low if defined else None, high if defined else None, len(references))
