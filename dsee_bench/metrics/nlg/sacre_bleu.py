"""BLEU as sacrebleu computes it by default, as ToTTo's and most translation papers report it."""

from itertools import zip_longest

from dsee_bench.metrics import Measured, References, Texts, metric


@metric("sacreBLEU", "tok:13a", "case:kept", "smooth:exp", kind="generation", unit="0-100", package="sacrebleu")
def sacre_bleu(predictions: Texts, references: References) -> Measured:
    """Corpus BLEU of 13a tokens, case kept, an order without a match smoothed (Post 2018)."""
    from sacrebleu.metrics import BLEU

    columns = [list(column) for column in zip_longest(*references)]  # None where a prediction has fewer references
    return Measured(BLEU().corpus_score(list(predictions), columns).score)
