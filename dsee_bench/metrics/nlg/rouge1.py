"""ROUGE-1 of summarisation papers."""

from dsee_bench.metrics import Measured, References, Texts, metric
from dsee_bench.metrics.nlg.rouge import HOW, measure


@metric("rouge1", *HOW, kind="generation", unit="0-1", package="rouge-score", has_sums=True)
def rouge1(predictions: Texts, references: References) -> Measured:
    """ROUGE-1 (Lin 2004): F-measure of the unigrams that prediction and reference share."""
    return measure("rouge1", predictions, references)
