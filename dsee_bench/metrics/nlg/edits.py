"""TER of a corpus: edits to the nearest reference over mean reference length, summed before dividing."""

from functools import lru_cache

from dsee_bench.metrics.nlg.corpus import Corpus, Measured, Parts, ratio, signed
from dsee_bench.metrics.nlg.ter import ter as edits_and_length

_remembered = lru_cache(maxsize=2**14)(edits_and_length)  # the whole test set, then its seen and its unseen part


def ter(corpus: Corpus) -> Measured:
    """TER (tercom 0.7.25, case ignored); 0 is best, and above 1 there are more edits than words."""
    each = tuple(
        _remembered(tuple(output.lower().split()), tuple(tuple(text.lower().split()) for text in group))
        for output, group in zip(corpus.outputs, corpus.references, strict=True)
    )
    edits, length = sum(edits for edits, _ in each), sum(length for _, length in each)
    signature = signed(corpus, "TER", "tok:none", "case:lower", "pad:none", "as:tercom-0.7.25")
    return Measured(edits / length, signature, parts=Parts(each, ratio))
