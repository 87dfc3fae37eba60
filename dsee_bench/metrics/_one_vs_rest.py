"""Metrics of probabilities: the mean over classes or labels of a metric of one against the rest."""

from collections.abc import Callable, Sequence
from typing import Any

from dsee_bench.metrics import Measured


def macro(
    measure: Callable[[Any, Any], float],  # (whether each row is of the class, its probability)
    predictions: Sequence[Any],  # a row of probabilities each, or for two classes that of class 1
    references: Sequence[Any],  # class indices, or rows of 0 and 1
    *,
    needs_others: bool,  # whether it is undefined where every row is of the class
) -> Measured:
    """Return the mean of a metric over classes or labels; of two classes that of class 1."""
    import numpy as np

    scores = np.asarray(predictions, dtype=np.float64)
    truth = np.asarray(references)
    multi_label = truth.ndim == 2
    if scores.ndim == 1:
        scores = np.stack([1 - scores, scores], axis=1)
    if not np.isfinite(scores).all():
        return Measured(None, "the probabilities hold a number that is not finite")
    if truth.max(initial=0) >= scores.shape[1] or (multi_label and truth.shape != scores.shape):
        raise ValueError(f"probabilities of {scores.shape[1]} classes or labels do not fit references of more or fewer")
    columns = range(scores.shape[1]) if multi_label or scores.shape[1] > 2 else (1,)
    word = "label" if multi_label else "class"
    values = []
    for column in columns:
        own = truth[:, column] if multi_label else truth == column
        if not own.any():
            return Measured(None, f"no reference is of {word} {column}")
        if needs_others and own.all():
            return Measured(None, f"every reference is of {word} {column}")
        values.append(float(measure(own, scores[:, column])))
    return Measured(sum(values) / len(values))
