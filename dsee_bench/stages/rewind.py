"""Rewind to the weights of before the first stage, but for the zeros (BERT Tickets, Chen et al., NeurIPS 2020)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.record import Report
from dsee_bench.stages.stage import RunState, Stage

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class RewindReport(Report):
    rewound_parameters: int


@dataclass(frozen=True)
class Rewind(Stage):
    """Every parameter gets its first value again, the task head's too; masks hold."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return tuple(weight.site for weight in spec.weights)

    def plan(self, spec: ModelSpec) -> ModelSpec:
        if spec.adapter:
            raise ValueError(
                "there is an adapter beside the weights, which rewinding would leave; tune parameters=all instead"
            )
        if all(weight.nnz == weight.size for weight in spec.weights):
            raise ValueError("nothing is pruned before, so rewinding would only undo the tuning; prune first")
        return spec

    def run(self, state: RunState) -> RewindReport:
        import torch

        from dsee_bench.pruning.masking import apply_masks

        assert state.fresh is not None
        first = dict(state.fresh().named_parameters())
        now = dict(state.model.named_parameters())
        _refuse_narrowed(first, now)
        with torch.no_grad():
            for name, parameter in now.items():
                parameter.copy_(first[name])
        apply_masks(state.model, state.masks)
        return RewindReport(rewound_parameters=sum(parameter.numel() for parameter in now.values()))


def _refuse_narrowed(first: "dict[str, Tensor]", now: "dict[str, Tensor]") -> None:
    odd = [name for name, value in now.items() if name not in first or first[name].shape != value.shape]
    if odd:
        raise ValueError(
            f"{odd[0]} is not as it was before the first stage ({len(odd)} parameters); rewind before parts are removed"
        )
