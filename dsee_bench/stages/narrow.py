"""Structured pruning: whole attention heads and feed-forward neurons are removed for good (paper, Section 3).

The model is then smaller and faster, and equals the one in which their outputs were zeroed. An adapter on the narrowed
weights (DSEE or LoRA) is narrowed with them and goes on training; masks are cut along.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from dsee_bench.config.limits import Count, Limits
from dsee_bench.models.spec import FFN, Kind, ModelSpec, Site
from dsee_bench.pruning import GroupScore, surgery
from dsee_bench.record import Report
from dsee_bench.stages.stage import Facts, RunState, Stage

if TYPE_CHECKING:
    from torch import Tensor, nn

Removed = Annotated[float, Limits(ge=0, lt=1, hint="it is the share removed, and one must stay")]


@dataclass(frozen=True, kw_only=True)
class NarrowReport(Report):
    """What is left, so that the model can be built again."""

    heads: list[list[int]]  # groups of heads, by layer
    neurons: list[Annotated[int, Ge(0)]]  # how many, by layer
    entries: dict[str, int]  # sparse entries, by the path of their weight


@dataclass(frozen=True)
class Narrow(Stage):
    """Remove the share `heads` of the heads and the share `ffn` of the neurons, those with the smallest scores.

    A head's score is the sum over its query and value rows of |U V + S2| (`update`) or of that plus |W| (`W+update`),
    of |W| over all that goes with it (`magnitude`), its learned coefficient's size, what the loss on a few training
    batches would miss without it (`gradient`), or noise. A neuron's are the same over its row in and its column out.
    `scope` ranks within each layer, as the authors do, or over the whole model.
    """

    heads: Removed
    ffn: Removed
    score: GroupScore  # of heads
    score_ffn: GroupScore
    scope: Literal["layer", "model"]
    batches: Count | None = None  # of the training set, for score gradient

    def __post_init__(self) -> None:
        if self.heads == self.ffn == 0:
            raise ValueError("heads=0 and ffn=0 remove nothing; leave the stage out")
        if "gradient" in (self.score, self.score_ffn) and self.batches is None:
            raise ValueError("score gradient is read off training batches; set batches, as batches=8")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        kinds: list[Kind] = []
        if self.heads:
            kinds += [*surgery.HEAD_ROWS, *surgery.HEAD_COLUMNS]
        if self.ffn:
            kinds += FFN
        return spec.pick(kinds)

    def plan(self, spec: ModelSpec) -> ModelSpec:
        """Exact in weights and FLOPs; which layer loses what, and how many sparse entries go, is known from the run."""
        surgery.refuse_shared_layers(spec)
        _refuse(spec, self.heads, self.score, surgery.SCORED_HEADS, surgery.HEAD_COLUMNS, "score")
        _refuse(spec, self.ffn, self.score_ffn, FFN, surgery.FFN_COLUMNS, "score_ffn")
        heads, ffn = surgery.head_groups(spec), surgery.neurons(spec)
        return surgery.narrowed(spec, self._left(heads, self.heads, "heads"), self._left(ffn, self.ffn, "ffn"))

    def estimates(self, spec: ModelSpec) -> frozenset[str]:
        """Sparse and masked entries are taken to lie evenly over what stays and what goes."""
        sites = {*self.sites(spec)}
        touched = [weight for weight in spec.weights if weight.site in sites]
        sparse = any(weight.num_entries for weight in touched)
        masked = any(weight.nnz < weight.size for weight in touched)
        names = {"adapter": sparse, "nnz": sparse or masked, "flops": masked}
        return frozenset(name for name, guessed in names.items() if guessed)

    def _left(self, groups: Sequence[int], share: float, name: str) -> list[int]:
        """How many stay in each layer; in a ranking over the model they are spread evenly."""
        gone = self._gone(groups, share, name)
        if self.scope == "layer":
            return [count - lost for count, lost in zip(groups, gone, strict=True)]
        total, size, before, left = sum(gone), sum(groups), 0, []
        for count in groups:
            left.append(count - (total * (before + count) // size - total * before // size))
            before += count
        return left

    def _gone(self, groups: Sequence[int], share: float, name: str) -> list[int]:
        """How many go, layer by layer; for a ranking over the model only their sum counts."""
        if self.scope == "model":
            total = _rounded(sum(groups), share, name, "of the model", sum(groups) - len(groups))
            return [total] + [0] * (len(groups) - 1)
        return [_rounded(count, share, name, f"of layer {layer}", count - 1) for layer, count in enumerate(groups)]

    def run(self, state: RunState) -> NarrowReport:
        """Choose, remove, and report what is left, so that the model can be built again."""
        from dsee_bench.adapters.removal import remove

        choice = self.choose(state.model, state.spec, lambda: state.losses(self.batches), state.seed)
        state.spec = remove(state.model, state.spec, state.masks, *choice)
        return NarrowReport(
            heads=[kept.tolist() for kept in choice[0]],
            neurons=[len(kept) for kept in choice[1]],
            entries={w.site.path: w.num_entries for w in state.spec.weights if w.num_entries},
        )

    def choose(
        self, model: "nn.Module", spec: ModelSpec, losses: "Callable[[], Iterable[Tensor]]", seed: int
    ) -> "tuple[list[Tensor], list[Tensor]]":
        """Return the head groups and the neurons that stay in each layer, ascending."""
        import torch

        from dsee_bench.adapters.group_scores import group_scores
        from dsee_bench.pruning.groups import keep_in_each, keep_overall

        generator = torch.Generator().manual_seed(seed)
        heads, ffn = _sizes(model, spec)
        choice = []
        for groups, share, name, score, rows, columns in (
            (heads, self.heads, "heads", self.score, surgery.HEAD_ROWS, surgery.HEAD_COLUMNS),
            (ffn, self.ffn, "ffn", self.score_ffn, surgery.FFN_ROWS, surgery.FFN_COLUMNS),
        ):
            if not share:
                choice.append([torch.arange(count) for count in groups])
                continue
            read = losses() if score == "gradient" else ()
            scores = group_scores(model, spec, score, rows, columns, groups, losses=read, generator=generator)
            gone = self._gone(groups, share, name)
            choice.append(keep_in_each(scores, gone) if self.scope == "layer" else keep_overall(scores, sum(gone)))
        return choice[0], choice[1]

    def restore(self, state: RunState, facts: Facts) -> None:
        import torch

        from dsee_bench.adapters.dsee.adapter import set_positions
        from dsee_bench.adapters.removal import remove

        left = NarrowReport(**facts)
        heads, neurons = [torch.tensor(kept) for kept in left.heads], [torch.arange(count) for count in left.neurons]
        spec = remove(state.model, state.spec, state.masks, heads, neurons)
        weights = tuple(replace(weight, num_entries=left.entries.get(weight.site.path, 0)) for weight in spec.weights)
        state.spec = replace(spec, weights=weights)
        set_positions(state.model, {w.site: torch.arange(w.num_entries) for w in weights if w.adapter_type == "DSEE"})


def _rounded(count: int, share: float, name: str, whose: str, most: int) -> int:
    """The share of `count` to the nearest whole number (a half goes up); ValueError where that is none or too many."""
    gone = math.floor(share * count + 0.5)
    if share and not gone:
        raise ValueError(f"{name}={share} removes none of the {count} {whose}; use at least {1 / (2 * count):.3g}")
    if gone > most:
        raise ValueError(f"{name}={share} asks {gone} of the {count} {whose} away; one must stay in each layer")
    return gone


def _refuse(
    spec: ModelSpec, share: float, score: str, adapted: Sequence[Kind], scaled: Sequence[Kind], name: str
) -> None:
    """ValueError for a score that this spec cannot give, or an adapter that cannot be narrowed."""
    if any(weight.adapter_type not in (None, "DSEE", "LORA") for weight in spec.weights):
        raise ValueError("an adapter other than DSEE's or LoRA's cannot be narrowed; attach one of these, or none")
    if not share:
        return
    if "update" in score and not any(w.adapter for w in spec.weights if w.site.kind in adapted):
        raise ValueError(
            f"{name}={score} ranks by the adapter on {', '.join(adapted)}, but there is none; attach one before, "
            f"or use {name}=magnitude"
        )
    if score == "coefficient" and not any(w.coefficients for w in spec.weights if w.site.kind in scaled):
        raise ValueError(
            f"{name}=coefficient ranks by learned coefficients, but there are none; put a coefficients stage and a "
            f"tuning before, or use {name}=magnitude"
        )


def _sizes(model: "nn.Module", spec: ModelSpec) -> tuple[list[int], list[int]]:
    """Head groups and neurons of each layer as the model still has them (the spec is already the plan's)."""
    from dsee_bench.models.access import weight_of

    heads, ffn = [], []
    for layer in range(spec.layers):
        inputs = {w.site.kind: weight_of(model, w.site).shape[1] for w in spec.weights if w.site.layer == layer}
        heads.append(inputs["out"] // (spec.head_size * spec.queries_per_key))
        ffn.append(inputs["ffn_out"])
    return heads, ffn
