"""What the perplexities share."""

import math
from collections.abc import Sequence

from dsee_bench.metrics import Measured, Sums


def perplexity_per(unit: int, losses: Sequence[float], counts: Sequence[Sequence[float]]) -> Measured:
    """Return exp(summed losses / summed counts); `unit` says which of the counts of each loss."""
    rows = tuple((float(loss), float(count[unit])) for loss, count in zip(losses, counts, strict=True))
    loss, count = sum(loss for loss, _ in rows), sum(count for _, count in rows)
    if not count:
        return Measured(None, "there is no word in the text")
    if loss / count > math.log(1e60):
        return Measured(None, f"the mean loss {loss / count:g} is too large for a perplexity; the tuning diverged")
    return Measured(_exp_of_ratio((loss, count)), sums=Sums(rows, _exp_of_ratio))


def _exp_of_ratio(sums: Sequence[float]) -> float:
    return math.exp(sums[0] / sums[1])
