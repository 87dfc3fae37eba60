"""Tune and prune at once: the share of zeros grows with a cubic schedule (Zhu and Gupta 2017, "To prune, or not to
prune"), so that the model can recover while it is pruned. Masks only grow: a zero stays one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from dsee_bench.config.limits import Count, Limits
from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.stages.prune import PruneReport, PruneWeights
from dsee_bench.stages.stage import Facts, RunState
from dsee_bench.stages.tune import Tune
from dsee_bench.training.job import TuneReport

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GradualReport(PruneReport, TuneReport):
    schedule: list[dict[str, float]]  # step, and the part of the share that is zeroed after it


@dataclass(frozen=True)
class GradualPrune(Tune):
    """A tuning in which `prune` takes its share bit by bit, every `every` steps, all of it after `until` of the steps.

    The best weights are chosen among those with all zeros: earlier ones have fewer, and are not comparable.
    """

    prune: PruneWeights
    every: Count  # steps between two prunings
    until: Annotated[float, Limits(gt=0, le=1)]  # a share of the steps

    def __post_init__(self) -> None:
        if ":" in self.prune.scope:
            raise ValueError(f"scope={self.prune.scope} has no shares between; prune it in one shot")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        touched = {*super().sites(spec), *self.prune.sites(spec)}
        return tuple(weight.site for weight in spec.weights if weight.site in touched)

    def plan(self, spec: ModelSpec) -> ModelSpec:
        return self.prune.plan(super().plan(spec))

    def estimates(self, spec: ModelSpec) -> frozenset[str]:
        return self.prune.estimates(spec)

    def run(self, state: RunState) -> GradualReport:
        last = max(1, round(self.until * state.setup.recipe.steps(len(state.data["train"]), self.epochs)))
        schedule = Schedule(self.prune, state, self.every, last)
        tuned = self.tune(state, [schedule], best_after=last - 1)  # what `last` leaves is a candidate
        shares = [
            {"step": step, "part": round(schedule.part(step), 6)} for step in range(1, last + 1) if schedule.due(step)
        ]
        return GradualReport(**tuned.facts(), **self.prune.settle(state).facts(), schedule=shares)

    def restore(self, state: RunState, facts: Facts) -> None:
        self.prune.restore(state, facts)
        super().restore(state, facts)


class Schedule:
    """Takes the share that is due after each step, and holds the zeros in between."""

    def __init__(self, prune: PruneWeights, state: RunState, every: int, last: int) -> None:
        self._prune, self._state, self._every, self._last = prune, state, every, last

    def due(self, step: int) -> bool:
        return step <= self._last and (step % self._every == 0 or step == self._last)

    def part(self, step: int) -> float:
        """Of the share that is zeroed in the end."""
        from dsee_bench.pruning.masks import cubic_sparsity

        return cubic_sparsity(step, self._last, initial=0.0, final=1.0)

    def __call__(self, before: int) -> None:
        from dsee_bench.pruning.masking import apply_masks

        step = before + 1  # Trainer counts a step only after its hooks
        if self.due(step):
            self._prune.mask(self._state, self.part(step))
        else:
            # Where all weights are tuned, the optimizer has moved the zeros.
            apply_masks(self._state.model, self._state.masks)

    def state_dict(self) -> "dict[str, Tensor]":
        return {site.path: mask for site, mask in self._state.masks.items()}

    def load_state_dict(self, tensors: "dict[str, Tensor]") -> None:
        from dsee_bench.adapters.dsee.adapter import mask_adapters
        from dsee_bench.pruning.masking import apply_masks

        sites = {weight.site.path: weight.site for weight in self._state.spec.weights}
        self._state.masks.update({sites[name]: mask for name, mask in tensors.items()})
        apply_masks(self._state.model, self._state.masks)
        if self._prune.mask_adapter and tensors:  # before the first are taken the adapter has none
            mask_adapters(self._state.model, self._state.spec.weights, self._state.masks)
