"""Mean absolute error."""

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics.pearson import why_not_finite


@metric("mae", kind="regression", unit="0 and up", better="lower", package="scikit-learn")
def mae(predictions: list[float], references: list[float]) -> Measured:
    """The mean of |prediction - reference|; lower is better."""
    from sklearn.metrics import mean_absolute_error

    return why_not_finite(predictions, references) or Measured(mean_absolute_error(references, predictions))
