"""E2E's METEOR 1.5: the Java program on the treebank's words."""

from dsee_bench.metrics import Measured, References, Texts, metric
from dsee_bench.metrics.nlg.meteor import meteor
from dsee_bench.metrics.nlg.ptb import TOKENS, joined


@metric("METEOR-1.5", "-l en -norm", TOKENS, kind="generation", unit="0-1", package="pycocoevalcap")
def meteor_ptb(predictions: Texts, references: References) -> Measured:
    """METEOR 1.5 of the treebank's words, lower-cased and without punctuation."""
    return meteor.compute(list(map(joined, predictions)), [list(map(joined, group)) for group in references])
