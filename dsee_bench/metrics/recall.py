"""Recall of class 1 against class 0."""

from dsee_bench.metrics import Measured, metric


@metric("recall", "of class 1", kind="classification", unit="0-1", package="scikit-learn", classes=2)
def recall(predictions: list[int], references: list[int]) -> Measured:
    """TP / (TP + FN) of class 1; undefined, 0 / 0, where no reference is of class 1."""
    from sklearn.metrics import recall_score

    if 1 not in references:
        return Measured(None, "no reference is of class 1")
    return Measured(recall_score(references, predictions, pos_label=1, average="binary"))
