"""WebNLG's and DART's TER: tercom 0.7.25."""

from functools import lru_cache

from dsee_bench.metrics import Measured, References, Sums, Texts, metric, ratio
from dsee_bench.metrics.nlg.tercom import edits_and_length

_cached = lru_cache(maxsize=2**14)(edits_and_length)  # the whole test set, then its seen and its unseen part


@metric(
    *("TER", "tok:none", "case:lower", "pad:none", "as:tercom-0.7.25"),
    kind="generation", unit="0-1", better="lower", has_sums=True,
)  # fmt: skip
def ter(predictions: Texts, references: References) -> Measured:
    """Edits to the nearest reference over mean reference length, summed before dividing, case ignored.

    0 is best, and above 1 there are more edits than words.
    """
    rows = tuple(
        _cached(tuple(prediction.lower().split()), tuple(tuple(text.lower().split()) for text in group))
        for prediction, group in zip(predictions, references, strict=True)
    )
    edits, length = sum(edits for edits, _ in rows), sum(length for _, length in rows)
    return Measured(edits / length, sums=Sums(rows, ratio))
