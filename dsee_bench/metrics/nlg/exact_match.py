"""SQuAD's exact match."""

from dsee_bench.metrics import Measured, References, Texts, mean_of, metric
from dsee_bench.metrics.nlg.squad import PREPARED, normalised


@metric("exact_match", PREPARED, kind="generation", unit="0-1", has_sums=True)
def exact_match(predictions: Texts, references: References) -> Measured:
    """Share of the predictions that are one of their references, but for case, punctuation and articles."""
    hits = [
        normalised(prediction) in map(normalised, group)
        for prediction, group in zip(predictions, references, strict=True)
    ]
    return Measured(sum(hits) / len(hits), sums=mean_of(hits))
