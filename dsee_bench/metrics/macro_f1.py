"""Macro F1: the mean of the F1 of each class or label."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._averages import why_empty


@metric("macro_f1", "zero_division 0", kind=("classification", "multi_label"), unit="0-1", package="scikit-learn")
def macro_f1(predictions: list[Any], references: list[Any]) -> Measured:
    """The mean of 2 TP / (2 TP + FP + FN) over classes, or over labels for multi-label.

    A class that is neither in the predictions nor in the references has no part in it; a label that is nowhere set
    counts as 0, as scikit-learn has it.
    """
    from sklearn.metrics import f1_score

    return why_empty(answers=predictions, references=references) or Measured(
        f1_score(references, predictions, average="macro", zero_division=0)
    )
