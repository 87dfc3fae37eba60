"""Average precision: the area under the precision-recall curve, from probabilities."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._one_vs_rest import macro


@metric(
    "average_precision",
    "of class 1, or macro one-vs-rest",
    kind=("classification", "multi_label"),
    unit="0-1",
    package="scikit-learn",
    takes="probabilities",
)
def average_precision(predictions: list[Any], references: list[Any]) -> Measured:
    """The sum of precision times the gain in recall over all thresholds.

    That of class 1 for two classes; the mean over classes, each against the rest, for more; the mean over labels for
    multi-label. Undefined where a class or label has no reference.
    """
    from sklearn.metrics import average_precision_score

    return macro(average_precision_score, predictions, references, needs_others=False)
