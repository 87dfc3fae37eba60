"""Input and report of one tuning; nothing heavy is imported here."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from annotated_types import Ge

from dsee_bench import metrics
from dsee_bench.config.recipes import Recipe
from dsee_bench.record import Report
from dsee_bench.tasks.example import CAUSAL, Split, Task, Truncate

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dsee_bench.monitoring.curve import Curve

EVAL_BATCH = 64  # rows; scoring keeps no activations, so this fits wherever training does
Points = list[dict[str, int | float | None]]  # "step", and one value at it


@dataclass(frozen=True, kw_only=True)
class TuneReport(Report):
    steps: Annotated[int, Ge(0)]
    epochs: float
    learning_rate: float
    rows: int  # of train, that were tuned on
    precision: Literal["bf16", "fp32"]
    seconds_per_step: float
    curve: Points  # the loss
    dev: Points  # the score that the best checkpoint is chosen by; None where it is undefined
    best_step: int | None  # None: the last weights stay
    scored_on: str | None = None  # the split of `dev` where it is not dev: validation
    why_last: str | None = None  # why they stay although the best were asked for
    class_weights: tuple[float, ...] | None = None  # in the loss


class StepHook(Protocol):
    """Called with the step after the optimizer's step; its state is saved with each checkpoint."""

    def __call__(self, step: int, /) -> None: ...
    def state_dict(self) -> "dict[str, Tensor]": ...
    def load_state_dict(self, tensors: "dict[str, Tensor]") -> None: ...


@dataclass(frozen=True)
class Setup:
    """What the tunings and evaluations of a run share."""

    tokenizer: "PreTrainedTokenizerBase"
    task: Task
    recipe: Recipe
    device: str  # "auto" or "cpu"
    save_every: float = math.inf  # seconds between checkpoints, besides those of evaluations
    curve: "Curve | None" = None  # where loss and dev scores go while a tuning runs
    places: tuple[str, ...] = ()  # what answers call the choices of a question, in order
    truncate: Truncate | None = None  # which tokens of a long text stay; None: as the tokenizer does


@dataclass(frozen=True)
class Job:
    """One tuning."""

    name: str  # of the stage, for the progress line
    setup: Setup
    model: "PreTrainedModel"
    train: Split[Any]
    dev: Split[Any]  # that chooses the best checkpoint: dev, or validation
    epochs: float
    learning_rate: float
    seed: int
    folder: Path  # of its checkpoints
    masks: "Sequence[tuple[Tensor, Tensor]]"  # (parameter, mask of its shape, True where kept)
    after_step: Sequence[StepHook]
    penalties: "Sequence[Callable[[], Tensor]]"
    best_after: int = 0  # step up to which the weights are no candidates for the best

    @property
    def writes(self) -> bool:
        """Whether a language model learns texts."""
        return self.setup.task.kind in CAUSAL

    @property
    def ranked_by(self) -> str:
        """What chooses the best checkpoint on that split: the task's first metric, or the loss of a language model."""
        return "loss" if self.writes else self.setup.task.metrics[0]

    @property
    def lower_is_better(self) -> bool:
        """Return whether the best checkpoint has the smallest value of `ranked_by`: a loss, or an error as mse."""
        return self.writes or metrics.find(self.ranked_by).better == "lower"
