"""E2E's ROUGE-L, as the captioning challenge computes it (pycocoevalcap), on the treebank's words."""

from dsee_bench.metrics import Measured, References, Texts, mean_of, metric
from dsee_bench.metrics.nlg.ptb import TOKENS, joined

Numbered = dict[int, list[str]]  # the texts of each number


@metric("ROUGE-L", TOKENS, "case:lower", kind="generation", unit="0-1", package="pycocoevalcap", has_sums=True)
def rouge_l(predictions: Texts, references: References) -> Measured:
    """ROUGE-L (Lin 2004, beta 1.2; best precision and best recall over the references), mean of the predictions."""
    from pycocoevalcap.rouge.rouge import Rouge

    value, values = Rouge().compute_score(*numbered(predictions, references))
    return Measured(float(value), sums=mean_of(values))


def numbered(predictions: Texts, references: References) -> tuple[Numbered, Numbered]:
    """Return references and predictions as pycocoevalcap takes them: words between spaces, by number."""
    groups = {index: [joined(text) for text in group] for index, group in enumerate(references)}
    return groups, {index: [joined(text)] for index, text in enumerate(predictions)}
