"""ROUGE-L and CIDEr as the captioning challenge computes them (pycocoevalcap), on the treebank's words."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from dsee_bench.metrics.nlg.corpus import Corpus, Measured, mean_of, signed
from dsee_bench.metrics.nlg.ptb import TOKENS, words

Texts = dict[int, list[str]]


def rouge_l(corpus: Corpus) -> Measured:
    """ROUGE-L (Lin 2004, beta 1.2; best precision and best recall over the references), mean of the outputs; 0 to 1."""
    from pycocoevalcap.rouge.rouge import Rouge

    return _measure(corpus, "ROUGE-L", Rouge().compute_score)


def cider(corpus: Corpus) -> Measured:
    """CIDEr-D (Vedantam et al. 2015), idf over this corpus's references, mean of the outputs; 0 to 10."""
    from pycocoevalcap.cider.cider import Cider

    measured = _measure(corpus, "CIDEr-D", Cider().compute_score)
    if len(corpus) == 1:  # the logarithm of the number of contexts is 0
        return replace(
            measured, reason="CIDEr counts a word by how few contexts have it; of one context it is always 0"
        )
    return measured


def texts_of(corpus: Corpus) -> tuple[Texts, Texts]:
    """References and outputs as pycocoevalcap takes them: words joined by spaces, by the output's number."""
    references = {index: [" ".join(words(text)) for text in group] for index, group in enumerate(corpus.references)}
    outputs = {index: [" ".join(words(text))] for index, text in enumerate(corpus.outputs)}
    return references, outputs


def _measure(corpus: Corpus, name: str, compute: Callable[[Texts, Texts], tuple[float, Iterable[float]]]) -> Measured:
    value, each = compute(*texts_of(corpus))
    signature = signed(corpus, name, TOKENS, "case:lower", package="pycocoevalcap")
    return Measured(float(value), signature, parts=mean_of(each))
