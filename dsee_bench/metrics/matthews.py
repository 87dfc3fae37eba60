"""Matthews correlation of classes, for two classes or more (GLUE: CoLA).

Where all answers or all references are of one class it is 0 / 0; the field reports 0.0 there, as scikit-learn does.
"""

import datasets
import evaluate
from sklearn.metrics import matthews_corrcoef

KIND = "classification"
UNIT = "-1-1"
BETTER = "higher"
PACKAGE = "scikit-learn"


class Matthews(evaluate.Metric):
    """Takes class indices."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float | str]:
        for name, labels in (("answers", predictions), ("references", references)):
            if len(set(labels)) == 1:  # scikit-learn says 0.0 too
                return {"matthews": 0.0, "reason": f"all {name} are of one class"}
        return {"matthews": matthews_corrcoef(references, predictions)}
