"""F1 over all labels together (multi-label tasks)."""

from dsee_bench.metrics import Measured, metric


@metric("micro_f1", kind="multi_label", unit="0-1", package="scikit-learn")
def micro_f1(predictions: list[list[int]], references: list[list[int]]) -> Measured:
    """2 TP / (2 TP + FP + FN), counted over every label of every example."""
    from sklearn.metrics import f1_score

    if not any(map(any, predictions)) and not any(map(any, references)):
        return Measured(None, "no label is in the answers nor in the references")
    return Measured(f1_score(references, predictions, average="micro", zero_division=0.0))
