"""What a task asks of a sequence classifier beside the number of its outputs."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def for_task(model: "PreTrainedModel", kind: str) -> None:
    """Make the model ready for a kind of task: with the loss of several labels, or comparing choices."""
    if kind == "multi_label":
        model.config.problem_type = "multi_label_classification"
    if kind == "multiple_choice":
        model.config.problem_type = None  # one output, and yet no regression
        _compare_choices(model)


def as_scorer(model: "PreTrainedModel") -> None:
    """Turn a model that compares choices back into one that scores single pairs, as transformers has it."""
    if type(model).__module__ == __name__:
        model.__class__ = type(model).__mro__[1]


def _compare_choices(model: "PreTrainedModel") -> None:
    """Let the model score the choices of questions, as AutoModelForMultipleChoice does.

    The model has one output. A batch holds the choices of all questions one after the other, and `choices`
    (questions, most choices), 1 for each choice that there is. Then the logits are (questions, most choices), -inf
    where there is no choice, and the loss is the cross-entropy of the right ones. Without `choices` the model stays as
    it is.
    """
    plain: Any = type(model)

    def forward(
        self: Any, *args: Any, choices: Tensor | None = None, labels: Tensor | None = None, **inputs: Any
    ) -> Any:
        if choices is None:
            return plain.forward(self, *args, labels=labels, **inputs)
        outputs = plain.forward(self, *args, **inputs)
        scores = outputs.logits.reshape(-1)
        logits = scores.new_full(choices.shape, -torch.inf).masked_scatter(choices.bool(), scores)
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        return type(outputs)(loss=loss, logits=logits)

    model.__class__ = type(plain.__name__, (plain,), {"forward": forward, "__module__": __name__})
