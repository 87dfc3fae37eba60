"""Macro precision: the mean of the precision of each class or label."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._averages import why_empty


@metric(
    "macro_precision", "zero_division 0", kind=("classification", "multi_label"), unit="0-1", package="scikit-learn"
)
def macro_precision(predictions: list[Any], references: list[Any]) -> Measured:
    """The mean of TP / (TP + FP) over classes, or over labels for multi-label.

    A class that is neither in the predictions nor in the references has no part in it; one that is never predicted
    counts as 0, as scikit-learn has it.
    """
    from sklearn.metrics import precision_score

    return why_empty(answers=predictions, references=references) or Measured(
        precision_score(references, predictions, average="macro", zero_division=0)
    )
