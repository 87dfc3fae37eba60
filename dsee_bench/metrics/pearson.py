"""Pearson correlation (GLUE: STS-B)."""

import math

from dsee_bench.metrics import Measured, metric


@metric("pearson", kind="regression", unit="-1-1", package="scipy")
def pearson(predictions: list[float], references: list[float]) -> Measured:
    """How linear predictions are in references."""
    from scipy.stats import pearsonr

    return why_undefined(predictions, references) or Measured(pearsonr(predictions, references).statistic)


def why_undefined(predictions: list[float], references: list[float]) -> Measured | None:
    """Return why a correlation is undefined; None where it is defined."""
    if odd := why_not_finite(predictions, references):
        return odd
    for side, numbers in (("answers", predictions), ("references", references)):
        if len(set(numbers)) == 1:
            return Measured(None, f"the {side} are all the same, correlation is undefined")
    return None


def why_not_finite(predictions: list[float], references: list[float]) -> Measured | None:
    """Return which side holds a number that is not finite; None where none does."""
    for side, numbers in (("answers", predictions), ("references", references)):
        if not all(map(math.isfinite, numbers)):
            return Measured(None, f"the {side} hold a number that is not finite")
    return None
