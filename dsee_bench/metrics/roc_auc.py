"""Area under the ROC curve, from probabilities."""

from typing import Any

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._one_vs_rest import macro


@metric(
    "roc_auc",
    "of class 1, or macro one-vs-rest",
    kind=("classification", "multi_label"),
    unit="0-1",
    package="scikit-learn",
    takes="probabilities",
)
def roc_auc(predictions: list[Any], references: list[Any]) -> Measured:
    """The probability that a row of the class gets a larger one than another row.

    That of class 1 for two classes; the mean over classes, each against the rest, for more; the mean over labels for
    multi-label. Undefined where a class or label has no reference or nothing else.
    """
    from sklearn.metrics import roc_auc_score

    return macro(roc_auc_score, predictions, references, needs_others=True)
