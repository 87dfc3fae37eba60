"""F1 of class 1 against class 0 (GLUE: MRPC, QQP).

F1 = 2 TP / (2 TP + FP + FN). Where class 1 is neither in the answers nor in the references this is 0 / 0: undefined.
scikit-learn warns and says 0.0 there; a model that finds nothing although there is something has a true 0.0.
"""

import datasets
import evaluate
from sklearn.metrics import f1_score

KIND = "classification"
UNIT = "0-1"
BETTER = "higher"
PACKAGE = "scikit-learn"
CLASSES = 2
DETAIL = "of class 1"


class F1(evaluate.Metric):
    """Takes class indices 0 and 1."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float | str | None]:
        if 1 not in predictions and 1 not in references:
            return {"f1": None, "reason": "class 1 is neither in the answers nor in the references"}
        for name, labels in (("answer", predictions), ("reference", references)):
            if 1 not in labels:
                return {"f1": 0.0, "reason": f"no {name} is of class 1"}
        return {"f1": f1_score(references, predictions, pos_label=1, average="binary")}
