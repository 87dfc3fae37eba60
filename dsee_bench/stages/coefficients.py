"""One learned coefficient on each head's output and on each feed-forward neuron, with an l1 penalty on their size.

EarlyBERT (Chen et al. 2021) and the paper's first preprint rank heads and neurons by them. They start at one, so
nothing changes before the first step; the `narrow` stage folds them into the weights and takes them away.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dsee_bench.config.limits import NotNegative
from dsee_bench.models.spec import LinearSpec, ModelSpec, Site
from dsee_bench.pruning.surgery import FFN_COLUMNS, HEAD_COLUMNS, refuse_shared_layers
from dsee_bench.record import Report
from dsee_bench.stages.stage import Facts, RunState, Stage

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CoefficientsReport(Report):
    coefficients: int  # how many


@dataclass(frozen=True)
class Coefficients(Stage):
    """Added to the loss: l1_heads x the sum of the heads' absolute coefficients, and l1_ffn x the neurons'."""

    l1_heads: NotNegative  # 0 is no penalty
    l1_ffn: NotNegative

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return spec.pick((*HEAD_COLUMNS, *FFN_COLUMNS))

    def plan(self, spec: ModelSpec) -> ModelSpec:
        refuse_shared_layers(spec)

        def attach(weight: LinearSpec) -> LinearSpec:
            if weight.coefficients:
                raise ValueError(f"{weight.site.path} has coefficients already; one such stage is enough")
            return replace(weight, coefficients=weight.inputs // _size(weight.site, spec))

        return spec.change((*HEAD_COLUMNS, *FFN_COLUMNS), attach)

    def run(self, state: RunState) -> CoefficientsReport:
        from dsee_bench.adapters.coefficient import attach
        from dsee_bench.models.access import module_at

        penalised: list[tuple[Site, float]] = []
        for weight in state.spec.weights:
            if weight.coefficients:
                module = module_at(state.model, weight.site)
                attach(module, weight.coefficients, _size(weight.site, state.spec))
                l1 = self.l1_heads if weight.site.kind in HEAD_COLUMNS else self.l1_ffn
                penalised.append((weight.site, l1))
        state.penalties.append(lambda: _penalty(state, penalised))
        return CoefficientsReport(coefficients=sum(weight.coefficients for weight in state.spec.weights))

    def restore(self, state: RunState, facts: Facts) -> None:
        self.run(state)


def _size(site: Site, spec: ModelSpec) -> int:
    """Features that share a coefficient: those of a head, or one."""
    return spec.head_size if site.kind in HEAD_COLUMNS else 1


def _penalty(state: RunState, penalised: list[tuple[Site, float]]) -> "Tensor":
    """The l1 penalty; zero once the coefficients are folded into the weights."""
    import torch

    from dsee_bench.adapters.coefficient import coefficients_of
    from dsee_bench.models.access import module_at

    found = [(coefficients_of(module_at(state.model, site)), l1) for site, l1 in penalised]
    sums = [l1 * values.abs().sum() for values, l1 in found if values is not None]
    return torch.stack(sums).sum() if sums else torch.zeros((), device=state.model.device)
