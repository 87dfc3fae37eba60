"""Perplexity by tokens."""

from dsee_bench.metrics import Measured, metric
from dsee_bench.metrics._losses import perplexity_per


@metric("perplexity", "by token", kind="language_modeling", unit="1 and up", better="lower", has_sums=True)
def perplexity(predictions: list[float], references: list[list[float]]) -> Measured:
    """exp of the mean loss of a token, from summed losses and, as references, how many tokens and words each is of."""
    return perplexity_per(0, predictions, references)
