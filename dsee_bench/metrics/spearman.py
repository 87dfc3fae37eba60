"""Spearman correlation (GLUE: STS-B)."""

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics.pearson import why_undefined


@metric("spearman", kind="regression", unit="-1-1", package="scipy")
def spearman(predictions: list[float], references: list[float]) -> Measured:
    """Pearson's correlation of the ranks, ties sharing their mean rank."""
    from scipy.stats import spearmanr

    return why_undefined(predictions, references) or Measured(spearmanr(predictions, references).statistic)
