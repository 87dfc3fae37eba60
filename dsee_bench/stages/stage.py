"""What a stage is, and the state that stages hand on.

A stage does three things. `plan` maps a ModelSpec to a ModelSpec in pure Python. It runs for every stage before any
weight is loaded, so an impossible setting fails at once, and gives the parameters and FLOPs of a plan. `run` does the
work on a real model. `restore` rebuilds the modules that `run` added, so that saved tensors can be loaded into them; a
stage that adds none leaves it out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.record import Report
from dsee_bench.tasks.example import Split
from dsee_bench.training.job import Setup

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Facts = Mapping[str, Any]  # a stage's report as the record has it


@dataclass
class RunState:
    """The model and all that a stage needs to work on it; stages change it in place."""

    model: "PreTrainedModel"
    spec: ModelSpec
    data: dict[str, Split[Any]]
    setup: Setup
    stage: str  # name of the stage that runs
    seed: int  # its seed: from the run's seed and its name, so that it does not depend on what ran before
    folder: Path  # its checkpoints
    fresh: "Callable[[], PreTrainedModel] | None" = None  # loads the model of before the first stage again
    adapters: Any = None  # PEFT's BaseTuner, once an adapter is attached
    masks: "dict[Site, Tensor]" = field(default_factory=dict)  # (O, I) bool, True where W is not zeroed
    penalties: "list[Callable[[], Tensor]]" = field(default_factory=list)  # added to the loss

    def losses(self, batches: int | None) -> "Iterator[Tensor]":
        """Yield the eval-mode losses of `batches` random training batches, drawn by the stage's seed."""
        from dsee_bench.training.train import loss_batches

        assert batches is not None  # a stage that reads them is refused without
        yield from loss_batches(self.model, self.setup, self.data["train"], batches=batches, seed=self.seed)


class Stage:
    """Base of all stages."""

    def plan(self, spec: ModelSpec) -> ModelSpec:
        """Return the spec after this stage; ValueError for a setting that `spec` does not allow."""
        raise NotImplementedError

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Return the sites that this stage touches, given the spec before it."""
        raise NotImplementedError

    def estimates(self, spec: ModelSpec) -> frozenset[str]:
        """Return the numbers of `plan` (adapter, nnz, flops) that are estimates, given the spec before it."""
        return frozenset()

    def run(self, state: RunState) -> Report:
        """Do the work; `state.spec` is already the plan's. The report goes into the record."""
        raise NotImplementedError

    def restore(self, state: RunState, facts: Facts) -> None:  # most stages add no module
        """Rebuild the modules that `run` added, from its report; their tensors are loaded afterwards."""
