"""Exact match of answers that `task.answer_pattern` found, as GSM8K counts: character by character."""

from dsee_bench.metrics import Measured, References, Texts, mean_of, metric


@metric("exact_match", "of answers", kind="generation", unit="0-1", has_sums=True)
def answer_match(predictions: Texts, references: References) -> Measured:
    """Share of the predictions that equal one of their references; an empty prediction is no answer."""
    hits = [bool(prediction) and prediction in group for prediction, group in zip(predictions, references, strict=True)]
    return Measured(sum(hits) / len(hits), sums=mean_of(hits))
