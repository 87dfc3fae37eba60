"""Put an adapter beside frozen weights: the DSEE adapter in two stages, or any PEFT method in one."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from dsee_bench.adapters.peft_methods import METHODS
from dsee_bench.adapters.peft_settings import settings_class
from dsee_bench.config.limits import Count, CountOrZero, Limits, Positive, Share
from dsee_bench.config.validate import typed
from dsee_bench.models.spec import Kind, LinearSpec, ModelSpec, Site
from dsee_bench.record import Report
from dsee_bench.stages.stage import Facts, RunState, Stage


@dataclass(frozen=True, kw_only=True)
class LowRankReport(Report):
    rank: int
    scale: float  # s


@dataclass(frozen=True)
class LowRank(Stage):
    """U V with U = 0, V ~ N(0, 0.02) beside each weight of these kinds (paper, Section 3); s = alpha / rank."""

    rank: Annotated[int, Limits(ge=1, hint="for no low-rank adapter leave the stage out")]
    alpha: Positive
    dropout: Share
    kinds: tuple[Kind, ...]

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return spec.pick(self.kinds)

    def plan(self, spec: ModelSpec) -> ModelSpec:
        def attach(weight: LinearSpec) -> LinearSpec:
            _refuse_second(weight)
            if self.rank > min(weight.outputs, weight.inputs):
                raise ValueError(
                    f"rank {self.rank} is more than {weight.site.path} ({weight.outputs} x {weight.inputs}) allows; "
                    f"use at most {min(weight.outputs, weight.inputs)}"
                )
            return replace(weight, rank=self.rank, adapter_type="DSEE")

        return spec.change(self.kinds, attach)

    def run(self, state: RunState) -> LowRankReport:
        from peft import get_peft_model

        from dsee_bench.adapters.dsee import DseeConfig

        config = DseeConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            dropout=self.dropout,
            num_entries=0,
            seed=state.seed,
            target_modules=[site.path for site in self.sites(state.spec)],
        )
        state.adapters = get_peft_model(state.model, config).base_model
        return LowRankReport(rank=self.rank, scale=self.alpha / self.rank)

    def restore(self, state: RunState, facts: Facts) -> None:
        self.run(state)


@dataclass(frozen=True, kw_only=True)
class SparseReport(Report):
    num_entries: int  # of each weight
    placement: str


@dataclass(frozen=True)
class SparseEntries(Stage):
    """S2: exactly `num_entries` trainable entries at fixed positions of each weight that has a low-rank adapter.

    `placement` says how the positions are chosen; `batches` of the training set give the gradient for `gradient`.
    """

    num_entries: CountOrZero
    placement: Literal["decomposition", "authors", "magnitude", "random", "gradient", "none"]
    batches: Count

    @property
    def entries(self) -> int:
        return 0 if self.placement == "none" else self.num_entries

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        sites = tuple(weight.site for weight in spec.weights if weight.adapter_type == "DSEE")
        if not sites:
            raise ValueError("sparse entries stand beside a low-rank adapter; put a low_rank stage before them")
        return sites

    def plan(self, spec: ModelSpec) -> ModelSpec:
        chosen = set(self.sites(spec))

        def attach(weight: LinearSpec) -> LinearSpec:
            if self.entries > weight.size:
                raise ValueError(
                    f"num_entries {self.entries} is more than the {weight.size} entries of {weight.site.path} "
                    f"({weight.outputs} x {weight.inputs}); use a smaller number"
                )
            return replace(weight, num_entries=self.entries)

        return replace(spec, weights=tuple(attach(w) if w.site in chosen else w for w in spec.weights))

    def run(self, state: RunState) -> SparseReport:
        from dsee_bench.adapters.dsee.adapter import set_positions
        from dsee_bench.pruning.placement import choose_positions

        sites = set(self.sites(state.spec))
        positions = choose_positions(
            state.model,
            [weight for weight in state.spec.weights if weight.site in sites],
            self.placement,
            self.entries,
            seed=state.seed,
            losses=state.losses(self.batches),
        )
        set_positions(state.model, positions)
        return SparseReport(num_entries=self.entries, placement=self.placement)

    def restore(self, state: RunState, facts: Facts) -> None:
        import torch

        from dsee_bench.adapters.dsee.adapter import set_positions

        set_positions(state.model, {site: torch.arange(self.entries) for site in self.sites(state.spec)})


@dataclass(frozen=True, kw_only=True)
class PeftReport(Report):
    type: str


@dataclass(frozen=True)
class Peft(Stage):
    """Any PEFT method that sits on single weights; `settings` are the fields of its own configuration."""

    type: Literal["LORA", "ADALORA", "IA3", "VERA", "SHIRA", "SUPERTUNING"]
    settings: dict[str, Any]
    kinds: tuple[Kind, ...]

    def __post_init__(self) -> None:
        typed(settings_class(self.type), self.settings, "settings")
        lacking = [name for name in METHODS[self.type].needed if self.settings.get(name) is None]
        if lacking:
            raise ValueError(f"{self.type} needs settings.{lacking[0]}, which says how much is trained")
        if self.settings.get("bias", "none") != "none":
            raise ValueError(f"settings.bias={self.settings['bias']} has no effect here; method=peft/bias tunes biases")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return spec.pick(self.kinds)

    def plan(self, spec: ModelSpec) -> ModelSpec:
        def attach(weight: LinearSpec) -> LinearSpec:
            _refuse_second(weight)
            return replace(METHODS[self.type].count(weight, self.settings), adapter_type=self.type)

        return spec.change(self.kinds, attach)

    def run(self, state: RunState) -> PeftReport:
        from peft import get_peft_model
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
        from transformers import set_seed

        from dsee_bench.stages.tune import adapter_parameters

        if state.spec.tuned != "nothing":  # PEFT draws from the global state, and a run that takes the tuning
            set_seed(state.seed)  # before from a cached state has drawn less
        sites = self.sites(state.spec)
        settings = self.settings | METHODS[self.type].more(sites)
        targets = [site.path for site in sites]
        config = PEFT_TYPE_TO_CONFIG_MAPPING[self.type](target_modules=targets, **settings)
        state.adapters = get_peft_model(state.model, config).base_model
        found = adapter_parameters(state)
        trained = sum(parameter.numel() for name, parameter in state.model.named_parameters() if name in found)
        if trained != state.spec.adapter:
            raise ValueError(
                f"{self.type} with settings {self.settings} trains {trained:,} numbers, the plan counts "
                f"{state.spec.adapter:,}; use_dora, rank_pattern and their like are not counted, leave them out"
            )
        return PeftReport(type=self.type)

    def restore(self, state: RunState, facts: Facts) -> None:
        self.run(state)


def _refuse_second(weight: LinearSpec) -> None:
    if weight.adapter:
        raise ValueError(f"{weight.site.path} has an adapter already; attach one only")
    if weight.coefficients:  # they are multiplied in before the outermost module
        raise ValueError(f"{weight.site.path} has coefficients; attach the adapter in a stage before them")
