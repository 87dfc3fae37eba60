"""E2E's CIDEr, as the captioning challenge computes it (pycocoevalcap), on the treebank's words."""

from dsee_bench.metrics import Measured, References, Texts, mean_of, metric
from dsee_bench.metrics.nlg.ptb import TOKENS
from dsee_bench.metrics.nlg.rouge_l import numbered

ALWAYS_ZERO = "CIDEr counts a word by how few contexts have it; of one context it is always 0"


@metric("CIDEr-D", TOKENS, "case:lower", kind="generation", unit="0-10", package="pycocoevalcap", has_sums=True)
def cider(predictions: Texts, references: References) -> Measured:
    """CIDEr-D (Vedantam et al. 2015), idf over all these references, mean of the predictions."""
    from pycocoevalcap.cider.cider import Cider

    value, values = Cider().compute_score(*numbered(predictions, references))
    return Measured(float(value), ALWAYS_ZERO if len(predictions) == 1 else None, mean_of(values))
