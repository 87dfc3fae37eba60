"""Exact match of multi-label answers, also called subset accuracy."""

from dsee_bench.metrics import Measured, mean_of, metric


@metric("exact_match", kind="multi_label", unit="0-1", has_sums=True)
def exact_match(predictions: list[list[int]], references: list[list[int]]) -> Measured:
    """The share of rows whose labels are all as in the reference."""
    equal = [list(a) == list(b) for a, b in zip(predictions, references, strict=True)]
    return Measured(sum(equal) / len(equal), sums=mean_of(equal))
