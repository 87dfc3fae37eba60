"""Macro recall: the mean of the recall of each class or label."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._averages import why_empty


@metric("macro_recall", "zero_division 0", kind=("classification", "multi_label"), unit="0-1", package="scikit-learn")
def macro_recall(predictions: list[Any], references: list[Any]) -> Measured:
    """The mean of TP / (TP + FN) over classes, or over labels for multi-label.

    A class that is neither in the predictions nor in the references has no part in it; one without a reference counts
    as 0, as scikit-learn has it. `balanced_accuracy` leaves such a class out.
    """
    from sklearn.metrics import recall_score

    return why_empty(answers=predictions, references=references) or Measured(
        recall_score(references, predictions, average="macro", zero_division=0)
    )
