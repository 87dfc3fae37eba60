"""ROUGE of summarisation papers: Google's rouge-score with Porter's stemmer, the best of several references."""

import sys
from functools import lru_cache
from typing import Any

from dsee_bench.metrics import Measured, References, Texts, mean_of

HOW = ("stemmer:porter", "best reference")


def measure(kind: str, predictions: Texts, references: References) -> Measured:
    """Return the mean F-measure over the predictions; of several references the best one counts."""
    scorer = _scorer(kind)
    values = [
        scorer.score_multi(group, prediction)[kind].fmeasure
        for prediction, group in zip(predictions, references, strict=True)
    ]
    return Measured(sum(values) / len(values), sums=mean_of(values))


@lru_cache
def _scorer(kind: str) -> Any:
    from absl import logging
    from rouge_score.rouge_scorer import RougeScorer

    # absl closes the stream of its handler, standard error of its import, if another one has replaced it since: in a
    # notebook or a test that would close the stream of the program around us.
    logging.get_absl_handler().python_handler.stream = sys.__stderr__
    return RougeScorer([kind], use_stemmer=True)
