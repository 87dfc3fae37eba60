"""Balanced accuracy: the mean of the recall of each class."""

from dsee_bench.metrics import Measured, metric


@metric("balanced_accuracy", kind="classification", unit="0-1", package="scikit-learn")
def balanced_accuracy(predictions: list[int], references: list[int]) -> Measured:
    """The mean of TP / (TP + FN) over the classes that the references have."""
    from sklearn.metrics import recall_score

    present = sorted(set(references))
    return Measured(recall_score(references, predictions, labels=present, average="macro", zero_division=0))
