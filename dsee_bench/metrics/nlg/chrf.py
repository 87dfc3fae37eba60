"""WebNLG's and DART's chrF++, by sacrebleu."""

from itertools import zip_longest

from dsee_bench.metrics import Measured, References, Texts, metric


@metric("chrF++", "case:kept", "eps:yes", "pad:none", kind="generation", unit="0-100", package="sacrebleu")
def chrf(predictions: Texts, references: References) -> Measured:
    """chrF++ (Popović 2017): characters to order 6, words to order 2, recall counted twice."""
    from sacrebleu.metrics import CHRF

    sacrebleu_chrf = CHRF(char_order=6, word_order=2, beta=2, eps_smoothing=True)
    columns = [list(column) for column in zip_longest(*references)]  # None where a prediction has fewer references
    return Measured(sacrebleu_chrf.corpus_score(list(predictions), columns).score)
