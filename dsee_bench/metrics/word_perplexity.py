"""Perplexity by words, as WikiText's is reported whatever the tokenizer."""

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._losses import perplexity_per


@metric("word_perplexity", "by word", kind="language_modeling", unit="1 and up", better="lower", has_sums=True)
def word_perplexity(predictions: list[float], references: list[list[float]]) -> Measured:
    """exp of the loss that comes to a word between white space: tokens of a word together, and of what parts words."""
    return perplexity_per(1, predictions, references)
