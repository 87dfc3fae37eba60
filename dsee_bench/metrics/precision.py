"""Precision of class 1 against class 0."""

from dsee_bench.metrics import Measured, metric


@metric("precision", "of class 1", kind="classification", unit="0-1", package="scikit-learn", classes=2)
def precision(predictions: list[int], references: list[int]) -> Measured:
    """TP / (TP + FP) of class 1; undefined, 0 / 0, where no answer is of class 1."""
    from sklearn.metrics import precision_score

    if 1 not in predictions:
        return Measured(None, "no answer is of class 1")
    return Measured(precision_score(references, predictions, pos_label=1, average="binary"))
