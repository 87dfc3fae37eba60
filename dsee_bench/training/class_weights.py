"""Class weights in the loss of a tuning (train.class_weights); scores are never weighted.

balanced  of classes scikit-learn's formula, rows / (classes in them x rows of the class); of multi-label each label's
          rows without it / rows with it, as a weight of its positive answers (torch's pos_weight)
a list    the weights themselves, in the order of the task's labels
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class ClassWeights:
    """The loss of weighted classes, as torch's cross_entropy and binary_cross_entropy_with_logits have it."""

    values: tuple[float, ...]  # one a class or label
    multi_label: bool
    smoothing: float = 0.0

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of rows, weighted."""
        weights = logits.new_tensor(self.values)
        if self.multi_label:
            return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), pos_weight=weights)
        return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=self.smoothing)

    def amount(self, labels: Sequence[Any]) -> float:
        """Return what that mean is over: the rows of multi-label, else the sum of the rows' weights."""
        return len(labels) if self.multi_label else sum(self.values[int(label)] for label in labels)


def class_weights(
    wanted: str | Sequence[float],  # train.class_weights
    labels: Sequence[Any],  # of the rows that are tuned on: class indices, or rows of 0 and 1
    *,
    classes: int,
    multi_label: bool,
    smoothing: float = 0.0,
) -> ClassWeights:
    """Return the weighted loss of a tuning."""
    balanced = _balanced_labels(labels) if multi_label else _balanced_classes(labels, classes)
    return ClassWeights(balanced if isinstance(wanted, str) else tuple(wanted), multi_label, smoothing)


def _balanced_classes(labels: Sequence[int], classes: int) -> tuple[float, ...]:
    """Return weights under which every class has the same sum; a class without a row has 1."""
    counts = Counter(map(int, labels))
    return tuple(len(labels) / (len(counts) * counts[place]) if counts[place] else 1.0 for place in range(classes))


def _balanced_labels(labels: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Return weights under which positives weigh as much as negatives; 1 for a label of all rows or of none."""
    positives = [int(sum(column)) for column in zip(*labels, strict=True)]
    return tuple((len(labels) - count) / count if 0 < count < len(labels) else 1.0 for count in positives)
