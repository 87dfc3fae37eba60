"""E2E's BLEU: mteval-v13a."""

from dsee_bench.metrics import Measured, References, Sums, Texts, metric
from dsee_bench.metrics.nlg.mteval import bleu_of_row, count


@metric(
    "BLEU-4",
    *("tok:13a", "case:lower", "smooth:exp", "pad:none", "as:mteval-v13a"),
    kind="generation",
    unit="0-100",
    has_sums=True,
)
def bleu(predictions: Texts, references: References) -> Measured:
    """BLEU of 13a tokens in lower case, an order without a match smoothed."""
    sums = count(predictions, references)
    return Measured(bleu_of_row(sums.row), sums=Sums(tuple(sums.rows), bleu_of_row))
