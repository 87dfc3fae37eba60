"""ROUGE-L of summarisation papers, over the whole text; ROUGE_L is the E2E challenge's, another number."""

from dsee_bench.metrics import Measured, References, Texts, metric
from dsee_bench.metrics.nlg.rouge import HOW, measure


@metric("rougeL", *HOW, kind="generation", unit="0-1", package="rouge-score", has_sums=True)
def rougeL(predictions: Texts, references: References) -> Measured:
    """ROUGE-L (Lin 2004): F-measure of the longest common subsequence of words."""
    return measure("rougeL", predictions, references)
