"""Matthews correlation (GLUE: CoLA)."""

from dsee_bench.metrics import Measured, metric


@metric("matthews", kind="classification", unit="-1-1", package="scikit-learn")
def matthews(predictions: list[int], references: list[int]) -> Measured:
    """The Matthews correlation of classes, for two classes or more.

    Where all predictions or all references are of one class it is 0 / 0; the field reports 0.0 there.
    """
    from sklearn.metrics import matthews_corrcoef

    for side, labels in (("answers", predictions), ("references", references)):
        if len(set(labels)) == 1:  # scikit-learn says 0.0 too
            return Measured(0.0, f"all {side} are of one class")
    return Measured(matthews_corrcoef(references, predictions))
