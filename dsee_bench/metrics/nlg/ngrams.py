"""BLEU as multi-bleu.perl counts it, and chrF++: both sacrebleu's, with the settings that give the official numbers."""

from collections.abc import Sequence

from dsee_bench.metrics.nlg.corpus import Corpus, Measured, Parts, signed
from dsee_bench.metrics.nlg.mteval import BLEU_ORDERS, bleu_of_row


def bleu_lower(corpus: Corpus) -> Measured:
    """WebNLG's BLEU (multi-bleu.perl -lc), 0 to 100."""
    return _multi_bleu(corpus, lowercase=True)


def bleu_cased(corpus: Corpus) -> Measured:
    """DART's BLEU (multi-bleu.perl), 0 to 100."""
    return _multi_bleu(corpus, lowercase=False)


def _multi_bleu(corpus: Corpus, *, lowercase: bool) -> Measured:
    from sacrebleu.metrics import BLEU

    # multi-bleu reads a missing reference as an empty line, which can be the one nearest in length.
    metric = BLEU(tokenize="none", lowercase=lowercase, smooth_method="none", force=True)
    streams = corpus.streams("")
    each = [
        metric.corpus_score([output], [[text] for text in group])
        for output, group in zip(corpus.outputs, zip(*streams, strict=True), strict=True)
    ]
    rows = tuple((*one.counts, *one.totals, one.ref_len) for one in each)
    *counts, reference = (sum(column) for column in zip(*rows, strict=True))
    hits, totals = counts[:BLEU_ORDERS], counts[BLEU_ORDERS:]
    value = BLEU.compute_bleu(hits, totals, totals[0], reference).score  # of all rows at once, without counting again
    case = "case:lower" if lowercase else "case:kept"
    settings = ("tok:none", case, "smooth:none", "pad:empty", "as:multi-bleu")
    signature = signed(corpus, "BLEU-4", *settings, package="sacrebleu")
    return Measured(value, signature, parts=Parts(rows, multi_bleu_of_row))


def multi_bleu_of_row(row: Sequence[float]) -> float:
    """BLEU from 0 to 100 of hits and totals by order, and the closest reference length; 0 if an order has no match."""
    return bleu_of_row(row) if min(row[:BLEU_ORDERS]) > 0 else 0.0


def chrf(corpus: Corpus) -> Measured:
    """chrF++ (Popović 2017): characters to order 6, words to order 2, recall counted twice; 0 to 100."""
    from sacrebleu.metrics import CHRF

    metric = CHRF(char_order=6, word_order=2, beta=2, eps_smoothing=True)
    value = metric.corpus_score(list(corpus.outputs), corpus.streams(None)).score
    return Measured(value, signed(corpus, "chrF++", "case:kept", "eps:yes", "pad:none", package="sacrebleu"))
