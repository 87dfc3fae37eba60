"""What one tuning needs, and what it reports; nothing heavy is imported here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from annotated_types import Ge

from dsee_bench.config.recipes import Recipe
from dsee_bench.record import Report
from dsee_bench.tasks.example import Split, Task

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dsee_bench.monitoring.curve import Curve

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


class StepHook(Protocol):
    """Called with the step after the optimizer's; what it keeps from step to step is saved with each checkpoint."""

    def __call__(self, step: int, /) -> None: ...
    def tensors(self) -> "dict[str, Tensor]": ...
    def load(self, tensors: "dict[str, Tensor]") -> None: ...


@dataclass(frozen=True)
class Job:
    """All that one tuning needs."""

    name: str  # of the stage, for the progress line
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    task: Task
    train: Split
    dev: Split  # that chooses the best checkpoint: dev, or validation
    recipe: Recipe
    epochs: float
    learning_rate: float
    seed: int
    folder: Path
    device: str
    masks: "Sequence[tuple[Tensor, Tensor]]"  # (parameter, mask of its shape, True where kept)
    after_step: Sequence[StepHook]
    penalties: "Sequence[Callable[[], Tensor]]"
    save_every: float  # seconds between checkpoints, besides those of evaluations
    best_after: int = 0  # step up to which the weights are no candidates for the best
    curve: "Curve | None" = None  # where loss and dev scores go while it runs

    @property
    def writes(self) -> bool:
        """Whether it is a language model that learns to complete contexts."""
        return self.task.kind == "generation"

    @property
    def ranked_by(self) -> str:
        """What that split is measured by while training: the task's first metric; of texts to write, the loss."""
        return "loss" if self.writes else self.task.metrics[0]
