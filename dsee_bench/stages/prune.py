"""S1: zero weights in one shot, ranked over all layers together in two pools (paper, Section 3; authors' prune step).

The pools are the weights that carry the adapter (query and value in the paper), ranked by a score of its delta, and
the rest, ranked by size. Embeddings, biases, LayerNorms and the task head are no sites, so they are never pruned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from annotated_types import Ge, Le, MinLen

from dsee_bench.config.limits import Count, Limits
from dsee_bench.models.spec import Kind, LinearSpec, ModelSpec, Site
from dsee_bench.pruning import WITHOUT_ADAPTER, DataScore, Scope, ScoreName
from dsee_bench.pruning.masking import apply_masks, spread, with_nnz
from dsee_bench.record import Report
from dsee_bench.stages.stage import Facts, RunState, Stage

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pool:
    """Weights that are ranked together; `sparsity` is the share of their entries to zero."""

    weights: tuple[LinearSpec, ...]
    sparsity: float
    score: ScoreName | DataScore


Sparsity = Annotated[float, Limits(ge=0, lt=1, hint="for a dense model leave the stage out")]


@dataclass(frozen=True, kw_only=True)
class PruneReport(Report):
    zeroed_entries: int
    sparsity_by_site: Annotated[dict[str, Annotated[float, Ge(0), Le(1)]], MinLen(1)]  # path -> share of zeros


@dataclass(frozen=True)
class PruneWeights(Stage):
    """Zero the share `sparsity` of each pool's entries; `sparsity_qv` and `sparsity_rest` set one pool apart.

    `score` ranks the entries of the query and value weights, `score_rest` those of the others. An earlier mask's zeros
    count as the first to go, so a second pruning to the same share changes nothing.
    """

    sparsity: Sparsity
    sparsity_qv: Sparsity | None
    sparsity_rest: Sparsity | None
    score: ScoreName | DataScore
    score_rest: Literal["W", "random", "wanda", "gradient"]
    authors: bool  # scores as the authors' code computes them: s is forgotten
    kinds_qv: tuple[Kind, ...]
    kinds_rest: tuple[Kind, ...]
    scope: Scope
    mask_adapter: bool | None = None  # the mask covers the adapter as well, so the merged weight keeps its zeros
    batches: Count | None = None  # of the training set, for the scores that read it

    def __post_init__(self) -> None:
        both = set(self.kinds_qv) & set(self.kinds_rest)
        if both:
            raise ValueError(
                f"kinds_qv and kinds_rest both name {', '.join(sorted(both))}; a weight is in one pool only"
            )
        reads = [score for score in (self.score, self.score_rest) if score in get_args(DataScore)]
        if reads and self.batches is None:
            raise ValueError(f"score {reads[0]} is read off training batches; set batches, as batches=8")
        if ":" in self.scope:
            kept, group = (int(number) for number in self.scope.split(":"))
            for share in (self.sparsity_qv, self.sparsity_rest):
                asked = self.sparsity if share is None else share
                if asked not in (0, 1 - kept / group):
                    raise ValueError(
                        f"scope={self.scope} zeroes {1 - kept / group:g} of a pool, got sparsity {asked}; "
                        f"set sparsity={1 - kept / group:g}, or sparsity_qv=0 or sparsity_rest=0 to leave a pool dense"
                    )

    def pools(self, spec: ModelSpec) -> list[Pool]:
        """Each pool; one whose kinds this backbone lacks is left out."""
        shares = [
            (self.kinds_qv, self.sparsity_qv, self.score),
            (self.kinds_rest, self.sparsity_rest, self.score_rest),
        ]
        pools = []
        for kinds, share, score in shares:
            weights = tuple(weight for weight in spec.weights if weight.site.kind in kinds)
            if weights:
                pools.append(Pool(weights, self.sparsity if share is None else share, score))
        return pools

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return spec.pick((*self.kinds_qv, *self.kinds_rest))

    def plan(self, spec: ModelSpec) -> ModelSpec:
        """Each weight keeps its pool's share: where the zeros fall in a pool is known only from the weights."""
        self.sites(spec)
        if self.mask_adapter:
            adapted = [weight for weight in spec.weights if weight.adapter]
            _refuse_without_dsee("mask_adapter=true masks the adapter", "leave it out", adapted)
        nnz: dict[Site, int] = {}
        for pool in self.pools(spec):
            if pool.score not in WITHOUT_ADAPTER:
                _refuse_without_dsee(f"score={pool.score} ranks by the adapter", "use score=W", pool.weights)
            planned = self._planned(pool)
            nnz |= {weight.site: min(planned[weight.site], weight.nnz) for weight in pool.weights}
        return with_nnz(spec, nnz, self.mask_adapter)

    def estimates(self, spec: ModelSpec) -> frozenset[str]:
        """Where the zeros of a pool fall matters for FLOPs alone: where a weight has an adapter, and costs what merging
        it costs at most, and where weights multiply different numbers of tokens (a pooler, DeBERTa's positions)."""
        uneven = [pool for pool in self.pools(spec) if pool.sparsity and self.scope == "model"]
        weights = [weight for pool in uneven if len(pool.weights) > 1 for weight in pool.weights]
        unlike = spec.relative is not None or any(weight.site.kind == "pooler" for weight in weights)
        return frozenset({"flops"} if weights and (unlike or any(weight.adapter for weight in weights)) else ())

    def run(self, state: RunState) -> PruneReport:
        """Masks over W; the spec then says how many entries each weight really kept."""
        self.mask(state)
        return self.settle(state)

    def mask(self, state: RunState, part: float = 1.0) -> None:
        """Zero `part` of the share that is to be zeroed in the end, by the scores of now."""
        state.masks.update(self.masks(state, part))
        apply_masks(state.model, state.masks)
        self._mask_adapters(state)

    def _mask_adapters(self, state: RunState) -> None:
        from dsee_bench.adapters.dsee.adapter import mask_adapters

        if self.mask_adapter:
            mask_adapters(state.model, state.spec.weights, state.masks)

    def settle(self, state: RunState) -> PruneReport:
        """Give the spec the counts of the masks, and say where the zeros are."""
        nnz = {site: int(mask.sum()) for site, mask in state.masks.items()}
        state.spec = with_nnz(state.spec, nnz, self.mask_adapter)
        by_site = {w.site.path: 1 - w.nnz / w.size for w in state.spec.weights if w.site in nnz}
        zeros = sum(w.size - w.nnz for w in state.spec.weights if w.site in nnz)
        return PruneReport(zeroed_entries=zeros, sparsity_by_site=by_site)

    def restore(self, state: RunState, facts: Facts) -> None:
        self._mask_adapters(state)  # room for the masks that are loaded afterwards

    def masks(self, state: RunState, part: float = 1.0) -> "dict[Site, Tensor]":
        """(O, I) bool for each site of the pools, at `part` of their sparsity, from the weights as they are now."""
        from dsee_bench.adapters.pool_masks import pool_masks

        found: dict[Site, Tensor] = {}
        for pool in self.pools(state.spec):
            found |= pool_masks(
                state.model,
                [weight.site for weight in pool.weights],
                pool.score,
                part * pool.sparsity,
                "model" if pool.sparsity == 0 else self.scope,
                earlier=state.masks,
                losses=state.losses(self.batches),
                seed=state.seed,
                authors=self.authors,
            )
        return found

    def _planned(self, pool: Pool) -> dict[Site, int]:
        """Non-zero entries of each weight of a pool: exact but for scope `model`, where zeros fall evenly."""
        if self.scope == "model":
            return spread(pool.weights, pool.sparsity)
        if self.scope == "weight":
            return {w.site: w.size - round(pool.sparsity * w.size) for w in pool.weights}
        group = 1 if self.scope == "row" else int(self.scope.split(":")[1])
        for weight in pool.weights:
            if pool.sparsity and weight.inputs % group:
                raise ValueError(
                    f"scope={self.scope} needs inputs that {group} divides; {weight.site.path} has {weight.inputs}"
                )
        return {w.site: w.outputs * (w.inputs - round(pool.sparsity * w.inputs)) for w in pool.weights}


def _refuse_without_dsee(asked: str, way_out: str, weights: Sequence[LinearSpec]) -> None:
    """ValueError unless the DSEE adapter stands beside these weights."""
    types = {weight.adapter_type for weight in weights}
    others = sorted(found for found in types if found not in (None, "DSEE"))
    if others:
        raise ValueError(f"{asked}: it needs the DSEE adapter (low_rank and sparse stages), not {others[0]}; {way_out}")
    if types != {"DSEE"}:
        raise ValueError(f"{asked}, but there is none; attach one before, or {way_out}")
