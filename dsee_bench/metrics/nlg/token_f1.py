"""SQuAD's F1."""

from dsee_bench.metrics import Measured, References, Texts, mean_of, metric
from dsee_bench.metrics.nlg.squad import PREPARED, f1_of


@metric("token_f1", PREPARED, kind="generation", unit="0-1", has_sums=True)
def token_f1(predictions: Texts, references: References) -> Measured:
    """F1 of the words that prediction and nearest reference share, mean of the predictions."""
    values = [
        max(f1_of(prediction, reference) for reference in group)
        for prediction, group in zip(predictions, references, strict=True)
    ]
    return Measured(sum(values) / len(values), sums=mean_of(values))
