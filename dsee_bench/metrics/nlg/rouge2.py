"""ROUGE-2 of summarisation papers."""

from dsee_bench.metrics import Measured, References, Texts, metric
from dsee_bench.metrics.nlg.rouge import HOW, measure


@metric("rouge2", *HOW, kind="generation", unit="0-1", package="rouge-score", has_sums=True)
def rouge2(predictions: Texts, references: References) -> Measured:
    """ROUGE-2 (Lin 2004): F-measure of the bigrams that prediction and reference share."""
    return measure("rouge2", predictions, references)
