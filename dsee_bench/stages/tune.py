"""Train the adapter and the task head, or all weights, or biases or norms alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from dsee_bench.config.limits import Limits, Positive
from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.stages.stage import Facts, RunState, Stage
from dsee_bench.training.job import Job, StepHook, TuneReport

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Tune(Stage):
    """One tuning with a new optimizer and schedule. Masks of earlier stages hold, bit for bit."""

    parameters: Literal["all", "adapter", "bias", "norm"]
    epochs: Annotated[float, Limits(gt=0, hint="to skip a tuning leave the stage out")]
    learning_rate: Positive

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return tuple(w.site for w in spec.weights if self.parameters != "adapter" or w.adapter)

    def plan(self, spec: ModelSpec) -> ModelSpec:
        if self.parameters == "adapter" and not spec.adapter:
            raise ValueError("parameters=adapter needs an adapter; attach one before, or tune parameters=all")
        if self.parameters == "bias" and not spec.biases:
            raise ValueError(
                "parameters=bias needs biases, and this backbone has none; tune parameters=norm, or attach an adapter"
            )
        return replace(spec, tuned=self.parameters)

    def run(self, state: RunState) -> TuneReport:
        return self.tune(state)

    def tune(self, state: RunState, hooks: Sequence[StepHook] = (), best_after: int = 0) -> TuneReport:
        """Train, with these hooks after each step; the best weights are chosen after the step `best_after`."""
        from dsee_bench.adapters.adalora import budget_of
        from dsee_bench.training.train import tune

        choose_trainable(state, self.parameters)
        budget = budget_of(state.adapters, state.setup.recipe.steps(len(state.data["train"]), self.epochs))
        job = Job(
            name=state.stage,
            setup=state.setup,
            model=state.model,
            train=state.data["train"],
            dev=state.data["validation" if state.setup.recipe.select_on == "validation" else "dev"],
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            seed=state.seed,
            folder=state.folder,
            masks=tuple(_stored_masks(state)) if self.parameters == "all" else (),
            after_step=(*hooks, *([budget] if budget else [])),
            penalties=(*state.penalties, *([budget.penalty] if budget else [])),
            best_after=max(best_after, budget.best_after if budget else 0),
        )
        return tune(job)

    def restore(self, state: RunState, facts: Facts) -> None:
        choose_trainable(state, self.parameters)  # what is counted as trainable afterwards


def choose_trainable(state: RunState, parameters: str) -> None:
    """Give gradients to the task head, to coefficients, and to the parameters that `parameters` names.

    They are stored in float32 from then on, whatever `backbone.dtype` says.
    """
    from dsee_bench.models.low_precision import widen_parameters

    head = head_parameters(state)
    adapter = adapter_parameters(state)
    norms = _norm_parameters(state.model)
    for name, parameter in state.model.named_parameters():
        parameter.requires_grad_(
            name in head
            or name in adapter
            or ".coefficient." in name
            or (parameters == "all" and name not in adapter)
            or (parameters == "bias" and name.endswith("bias"))
            or (parameters == "norm" and name in norms)
        )
    widen_parameters(state.model, {name for name, value in state.model.named_parameters() if value.requires_grad})


def head_parameters(state: RunState) -> set[str]:
    """Return the names of the task head's parameters."""
    from dsee_bench.models import access

    return access.head_parameters(state.model, state.spec)


def adapter_parameters(state: RunState) -> set[str]:
    """Return the names of the trainable parameters of the adapters."""
    from dsee_bench.adapters.adalora import RANK_COUNT

    if state.adapters is None:
        return set()
    prefix = state.adapters.prefix
    return {
        name
        for name, parameter in state.model.named_parameters()
        if prefix in name and parameter.is_floating_point() and RANK_COUNT not in name
    }


def _norm_parameters(model: "PreTrainedModel") -> set[str]:
    return {
        f"{path}.{name}"
        for path, module in model.named_modules()
        if type(module).__name__.endswith("Norm")  # DeBERTa and Llama have norms of their own
        for name, _ in module.named_parameters(recurse=False)
    }


def _stored_masks(state: RunState) -> "list[tuple[Tensor, Tensor]]":
    """Return (parameter, mask in the layout of the parameter) of each masked weight."""
    from dsee_bench.models.access import pretrained_module

    return [
        (pretrained_module(state.model, site).get_parameter("weight"), mask.T if site.transposed else mask)
        for site, mask in state.masks.items()
    ]
