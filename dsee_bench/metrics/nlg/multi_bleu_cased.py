"""DART's BLEU: multi-bleu.perl."""

from dsee_bench.metrics import Measured, References, Texts, metric
from dsee_bench.metrics.nlg.multi_bleu import SETTINGS, measure


@metric(
    *("BLEU-4", "tok:none", "case:kept", *SETTINGS),
    kind="generation", unit="0-100", package="sacrebleu", has_sums=True, pad=True,
)  # fmt: skip
def multi_bleu_cased(predictions: Texts, references: References) -> Measured:
    """BLEU of words between spaces, case kept."""
    return measure(predictions, references, lowercase=False)
