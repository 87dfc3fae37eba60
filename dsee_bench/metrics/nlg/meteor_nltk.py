"""nltk's METEOR: another number than METEOR 1.5's, for where there is no Java."""

from dsee_bench.metrics import Measured, References, Texts, mean_of, metric
from dsee_bench.metrics.nlg.ptb import TOKENS, words

NO_WORDNET = "nltk's METEOR needs the WordNet data, which is not installed: python -m nltk.downloader wordnet"


@metric("METEOR-nltk", TOKENS, "case:lower", kind="generation", unit="0-1", package="nltk", has_sums=True)
def meteor_nltk(predictions: Texts, references: References) -> Measured:
    """nltk's METEOR, mean of the predictions. It has no paraphrases and other weights than METEOR 1.5."""
    from nltk.corpus import wordnet
    from nltk.translate.meteor_score import meteor_score

    try:
        wordnet.ensure_loaded()
    except LookupError:
        return Measured(None, NO_WORDNET)
    values = [
        meteor_score([list(words(text)) for text in group], list(words(prediction)))
        for prediction, group in zip(predictions, references, strict=True)
    ]
    return Measured(sum(values) / len(values), sums=mean_of(values))
