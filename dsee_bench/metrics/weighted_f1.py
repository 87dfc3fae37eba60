"""Weighted F1: the mean of the F1 of each class, weighted by its rows."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._averages import why_empty


@metric("weighted_f1", "zero_division 0", kind=("classification", "multi_label"), unit="0-1", package="scikit-learn")
def weighted_f1(predictions: list[Any], references: list[Any]) -> Measured:
    """The mean of 2 TP / (2 TP + FP + FN) over classes or labels, each weighted by its references."""
    from sklearn.metrics import f1_score

    return why_empty(references=references) or Measured(
        f1_score(references, predictions, average="weighted", zero_division=0)
    )
