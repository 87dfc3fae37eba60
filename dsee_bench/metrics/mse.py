"""Mean squared error."""

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics.pearson import why_not_finite


@metric("mse", kind="regression", unit="0 and up", better="lower", package="scikit-learn")
def mse(predictions: list[float], references: list[float]) -> Measured:
    """The mean of (prediction - reference) squared; lower is better."""
    from sklearn.metrics import mean_squared_error

    return why_not_finite(predictions, references) or Measured(mean_squared_error(references, predictions))
