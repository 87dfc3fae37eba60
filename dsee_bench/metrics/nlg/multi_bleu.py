"""WebNLG's BLEU: multi-bleu.perl -lc, by sacrebleu with the settings that give its numbers."""

from collections.abc import Sequence

from dsee_bench.metrics import Measured, References, Sums, Texts, metric
from dsee_bench.metrics.nlg.mteval import BLEU_ORDERS, bleu_of_row

SETTINGS = ("smooth:none", "pad:empty", "as:multi-bleu")


@metric(
    *("BLEU-4", "tok:none", "case:lower", *SETTINGS),
    kind="generation", unit="0-100", package="sacrebleu", has_sums=True, pad=True,
)  # fmt: skip
def multi_bleu(predictions: Texts, references: References) -> Measured:
    """BLEU of words between spaces, case ignored."""
    return measure(predictions, references, lowercase=True)


def measure(predictions: Texts, references: References, *, lowercase: bool) -> Measured:
    """Compute BLEU; a missing reference counts as an empty line, which can be the one nearest in length."""
    from sacrebleu.metrics import BLEU

    bleu = BLEU(tokenize="none", lowercase=lowercase, smooth_method="none", force=True)
    width = max(map(len, references))
    scores = [
        bleu.corpus_score([prediction], [[text] for text in (*group, *[""] * (width - len(group)))])
        for prediction, group in zip(predictions, references, strict=True)
    ]
    rows = tuple((*score.counts, *score.totals, score.ref_len) for score in scores)
    *counts, length = (sum(column) for column in zip(*rows, strict=True))
    hits, totals = counts[:BLEU_ORDERS], counts[BLEU_ORDERS:]
    value = BLEU.compute_bleu(hits, totals, totals[0], length).score  # of all rows at once, without counting again
    return Measured(value, sums=Sums(rows, multi_bleu_of_row))


def multi_bleu_of_row(row: Sequence[float]) -> float:
    """Return BLEU from 0 to 100 of hits and totals by order and the closest length; 0 if an order has no match."""
    return bleu_of_row(row) if min(row[:BLEU_ORDERS]) > 0 else 0.0
