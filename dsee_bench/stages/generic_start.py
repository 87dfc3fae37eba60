"""Start U and S2 at random, as the authors' code does, to measure what that changes.

Source: VITA-Group/DSEE at 61844c3. What else their code does differently from the paper is a setting: `placement:
authors` (constants of the decomposition), `authors: true` (scores without the scale s), `mask_adapter: null` (only W is
masked).
"""

from dataclasses import dataclass
from typing import Annotated

from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.config.limits import Limits
from dsee_bench.models.spec import ModelSpec, Site
from dsee_bench.record import Report
from dsee_bench.stages.stage import RunState, Stage


@dataclass(frozen=True, kw_only=True)
class GenericStartReport(Report):
    drawn: int  # entries of U and S2
    std: float


@dataclass(frozen=True)
class GenericStart(Stage):
    """U and S2 start from N(0, std) instead of 0, so the model's output changes before the first step.

    In the authors' code they are Linear modules. The checkpoint lacks them, so from_pretrained draws them at random.
    """

    u: bool
    s2: bool
    std: Annotated[float, Limits(gt=0, hint="for a start at zero leave the stage out")]  # BERT's initializer_range

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return tuple(weight.site for weight in spec.weights if weight.adapter_type == "DSEE")

    def plan(self, spec: ModelSpec) -> ModelSpec:
        if not self.sites(spec):
            raise ValueError("there is no DSEE adapter to start; put low_rank and sparse stages before")
        return spec

    def run(self, state: RunState) -> GenericStartReport:
        import torch

        from dsee_bench.adapters.dsee.adapter import dsee_layer

        generator = torch.Generator().manual_seed(state.seed)
        drawn = 0
        for site in self.sites(state.spec):
            layer = dsee_layer(state.model, site)
            for asked, parts in ((self.u, layer.dsee_u), (self.s2, layer.dsee_s2)):
                if asked and ADAPTER in parts:
                    value = parts[ADAPTER]
                    value.data.copy_(torch.randn(value.shape, generator=generator) * self.std)
                    drawn += value.numel()
        return GenericStartReport(drawn=drawn, std=self.std)
