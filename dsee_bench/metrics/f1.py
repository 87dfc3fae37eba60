"""F1 of class 1 against class 0 (GLUE: MRPC, QQP)."""

from dsee_bench.metrics import Measured, metric


@metric("f1", "of class 1", kind="classification", unit="0-1", package="scikit-learn", classes=2)
def f1(predictions: list[int], references: list[int]) -> Measured:
    """2 TP / (2 TP + FP + FN) of class 1.

    Where class 1 is neither in the predictions nor in the references this is 0 / 0: undefined. scikit-learn warns and
    says 0.0 there; a model that finds nothing although there is something has a true 0.0.
    """
    from sklearn.metrics import f1_score

    if 1 not in predictions and 1 not in references:
        return Measured(None, "class 1 is neither in the answers nor in the references")
    for side, labels in (("answer", predictions), ("reference", references)):
        if 1 not in labels:
            return Measured(0.0, f"no {side} is of class 1")
    return Measured(f1_score(references, predictions, pos_label=1, average="binary"))
