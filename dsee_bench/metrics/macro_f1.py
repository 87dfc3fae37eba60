"""F1 of each label, and their mean (multi-label tasks)."""

from dsee_bench.metrics import Measured, metric


@metric("macro_f1", "0 where a label is in neither", kind="multi_label", unit="0-1", package="scikit-learn")
def macro_f1(predictions: list[list[int]], references: list[list[int]]) -> Measured:
    """The mean over labels of 2 TP / (2 TP + FP + FN).

    A label that is neither in the answers nor in the references counts as 0, as scikit-learn has it.
    """
    from sklearn.metrics import f1_score

    return Measured(f1_score(references, predictions, average="macro", zero_division=0.0))
