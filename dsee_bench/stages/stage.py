"""What a stage is, and the state that stages hand on.

A stage does three things. `plan` maps an spec to an spec, in pure Python: it is run for every stage before any
weight is loaded, so an impossible setting fails at once, and it gives the parameters and FLOPs of a plan. `run` does
the work on a real model. `restore` rebuilds the modules that `run` added, so that saved tensors can be loaded into
them; a stage that adds none leaves it out.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.config.recipes import Recipe
from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.record import Report
from dsee_bench.tasks.example import Split, Task

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from dsee_bench.monitoring.curve import Curve

Facts = Mapping[str, Any]  # a stage's report as the record has it


@dataclass
class RunState:
    """The model and all that a stage needs to work on it; stages change it in place."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    spec: ModelSpec
    task: Task
    data: dict[str, Split]
    recipe: Recipe
    stage: str  # name of the stage that runs
    seed: int  # its seed: drawn from the run's and its name, so that it does not depend on what ran before
    folder: Path  # its work files
    device: str  # "auto" or "cpu"
    save_every: float = math.inf  # seconds between points that a stopped tuning goes on from
    fresh: "Callable[[], PreTrainedModel] | None" = None  # makes the model of before the first stage once more
    curve: "Curve | None" = None  # where loss and dev scores go while a tuning runs
    tuner: Any = None  # PEFT's tuner, once an adapter is attached
    masks: "dict[Site, Tensor]" = field(default_factory=dict)  # (O, I) bool, True where W is kept
    penalties: "list[Callable[[], Tensor]]" = field(default_factory=list)  # added to the loss

    def losses(self, batches: int | None) -> "Iterator[Tensor]":
        """Yield the eval-mode losses of `batches` random training batches, drawn by the stage's seed."""
        from dsee_bench.training.train import loss_batches

        assert batches is not None  # a stage that reads them is refused without
        yield from loss_batches(
            self.model, self.tokenizer, self.data["train"], self.recipe, batches=batches, seed=self.seed
        )


class Stage:
    """Base of all stages."""

    def plan(self, spec: ModelSpec) -> ModelSpec:
        """The spec after this stage. Raises ValueError for a setting that the spec does not allow."""
        raise NotImplementedError

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The sites that this stage touches, of the spec before it."""
        raise NotImplementedError

    def estimates(self, spec: ModelSpec) -> frozenset[str]:
        """The numbers of `plan` (adapter, kept, flops) that are estimates, given the spec before the stage."""
        return frozenset()

    def run(self, state: RunState) -> Report:
        """Do the work; `state.spec` is already the plan's. The report goes into the record."""
        raise NotImplementedError

    def restore(self, state: RunState, facts: Facts) -> None:  # most stages add no module
        """Rebuild the modules that `run` added, from its report; their tensors are loaded afterwards."""
