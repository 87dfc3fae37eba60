"""Micro F1: the F1 of all decisions counted together."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._averages import why_empty


@metric("micro_f1", kind=("classification", "multi_label"), unit="0-1", package="scikit-learn")
def micro_f1(predictions: list[Any], references: list[Any]) -> Measured:
    """2 TP / (2 TP + FP + FN) with the counts of all classes or labels added up.

    With one class a row it equals accuracy.
    """
    from sklearn.metrics import f1_score

    return why_empty(answers=predictions, references=references) or Measured(
        f1_score(references, predictions, average="micro", zero_division=0)
    )
