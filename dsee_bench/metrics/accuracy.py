"""Accuracy (GLUE: SST-2, QNLI, RTE, WNLI, MNLI, MRPC, QQP)."""

from dsee_bench.metrics import Measured, metric


@metric("accuracy", kind="classification", unit="0-1", package="scikit-learn")
def accuracy(predictions: list[int], references: list[int]) -> Measured:
    """The share of predictions that are the reference's class."""
    from sklearn.metrics import accuracy_score

    return Measured(accuracy_score(references, predictions))
