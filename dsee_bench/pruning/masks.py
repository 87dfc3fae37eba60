"""Entry scores and the exact masks made of them: S1 of the deployed weight W ⊙ S1 + s·(U V + S2) (paper, Section 3).

The scores are the paper's and the authors' modes (modeling_bert.py, `add_factorization`, VITA-Group/DSEE at 61844c3).
Counts are exact and ties are broken by position: among equal scores the earlier position is kept.

Letters: W weight (O, I), uv = U V (O, I), s2 = dense S2 (O, I), s = alpha / R the scale.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor

from dsee_bench.pruning import Scope, ScoreName

_Score = Callable[[Tensor, Tensor, Tensor, float], Tensor]

_SCORES: Mapping[str, _Score] = {
    "UV": lambda w, uv, s2, s: (s * uv).abs(),
    "update": lambda w, uv, s2, s: (s * (uv + s2)).abs(),
    "W+UV": lambda w, uv, s2, s: (w + s * uv).abs(),
    "W+update": lambda w, uv, s2, s: (w + s * (uv + s2)).abs(),
    "inverse_UV": lambda w, uv, s2, s: 1 / (s * uv).abs(),
    "inverse_update": lambda w, uv, s2, s: 1 / (s * (uv + s2)).abs(),
}

# Where the authors' code forgets s: on UV alone in WABS (operator precedence), altogether in NAB.
_AUTHORS: Mapping[str, _Score] = {
    **_SCORES,
    "W+update": lambda w, uv, s2, s: (w + uv + s * s2).abs(),
    "inverse_UV": lambda w, uv, s2, s: 1 / uv.abs(),
}


def entry_scores(
    name: ScoreName,
    weight: Tensor,  # (O, I)
    low_rank: Tensor | None,  # (O, I), U V without s; None where the weight has no adapter
    sparse: Tensor | None,  # (O, I), S2 without s; None means zero
    scale: float,  # alpha / R
    *,
    authors: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:  # (O, I), not negative
    """A score for every entry of `weight`; the larger ones are to be kept.

    `inverse_*` of an entry that was not updated is infinite, so it is kept. `authors` forgets s where their code does;
    `random` draws from `generator`, which must then be given.
    """
    if name not in get_args(ScoreName):
        raise ValueError(f"unknown score {name!r}; there is {', '.join(get_args(ScoreName))}")
    if name == "W":
        return weight.abs()
    if name == "random":
        if generator is None:
            raise ValueError("score 'random' needs a torch.Generator, got None; pass generator=")
        return torch.rand(weight.shape, generator=generator, device=generator.device).to(weight.device)
    if low_rank is None:
        raise ValueError(f"score {name!r} needs U V of every weight's adapter, got None; score by 'W' or 'random'")
    s2 = torch.zeros_like(low_rank) if sparse is None else sparse
    return (_AUTHORS if authors else _SCORES)[name](weight, low_rank, s2, scale)


def global_masks(scores: Sequence[Tensor], sparsity: float) -> list[Tensor]:
    """Boolean masks, shaped like `scores`, that drop the smallest entries of all tensors ranked together.

    Exactly round(sparsity * total) entries are dropped (a half goes to the even count, as in torch.nn.utils.prune).
    Sparsity 0 keeps every entry and an empty pool has no masks.
    """
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity must lie in [0, 1), got {sparsity}; 0.2 drops a fifth of the pool")
    if not scores:
        return []
    pool = torch.cat([score.detach().float().flatten() for score in scores])
    kept = _largest(pool, pool.numel() - round(sparsity * pool.numel()))
    parts = kept.split([score.numel() for score in scores])
    # Cloned, so that no mask shares (and saves) the memory of the whole pool.
    return [part.view(score.shape).clone() for part, score in zip(parts, scores, strict=True)]


def masks_in_scope(scores: Sequence[Tensor], sparsity: float, scope: Scope) -> list[Tensor]:
    """Boolean masks, shaped like `scores` (O, I), that drop the smallest entries among those that compete.

    `all`: over all tensors together; `weight`: in each tensor; `row`: in each row of outputs, round(sparsity I) of
    them (Wanda's rule); `N:M`: all but N in each M neighbouring inputs, whatever `sparsity`, which must say the same.
    """
    if scope == "model":
        return global_masks(scores, sparsity)
    if scope == "weight":
        return [mask for score in scores for mask in global_masks([score], sparsity)]
    if scope == "row":
        global_masks([], sparsity)  # checks it
        return [_largest_of_each_row(score, score.shape[1] - round(sparsity * score.shape[1])) for score in scores]
    kept, group = (int(number) for number in scope.split(":"))
    return [_n_of_m(score, kept, group) for score in scores]


def _n_of_m(
    score: Tensor,  # (O, I)
    kept: int,
    group: int,
) -> Tensor:  # (O, I), bool
    if score.shape[1] % group:
        raise ValueError(f"{kept}:{group} needs a number of inputs that {group} divides, got {score.shape[1]}")
    return _largest_of_each_row(score.reshape(-1, group), kept).view(score.shape)


def _largest_of_each_row(
    score: Tensor,  # (O, I)
    count: int,
) -> Tensor:  # (O, I), bool, `count` of each row true
    """True at the `count` largest scores of each row, of equal ones the first."""
    if score.isnan().any():
        raise ValueError(f"{int(score.isnan().sum())} of {score.numel()} scores are NaN; did the training diverge?")
    order = score.detach().float().sort(dim=1, descending=True, stable=True).indices
    return torch.zeros(score.shape, dtype=torch.bool, device=score.device).scatter_(1, order[:, :count], True)


def wanda_scores(
    weight: Tensor,  # (O, I)
    norms: Tensor,  # (I,), root mean square of each input feature over the tokens
) -> Tensor:  # (O, I)
    """|W_ij| ||X_j||: Wanda (Sun et al., ICLR 2024), Equation 1; the mean, so that weights of few tokens compare."""
    return weight.abs() * norms


def first_order_scores(
    weight: Tensor,  # (O, I)
    gradient: Tensor,  # (O, I), dLoss/dW
) -> Tensor:  # (O, I)
    """|W dL/dW|, the loss that dropping an entry changes to first order (Molchanov et al., ICLR 2017)."""
    return (weight * gradient).abs()


def cubic_sparsity(
    step: int,
    last: int,  # the step from which on `final` holds
    *,
    initial: float,
    final: float,
) -> float:
    """s_f + (s_i - s_f) (1 - t / n)^3: the gradual schedule of Zhu and Gupta 2017, Equation 1, from step 0."""
    left = 1 - min(step, last) / last
    return final + (initial - final) * left**3


def keep_positions(scores: Tensor, count: int) -> Tensor:
    """Flat positions (count,) of the exactly `count` largest scores, int64 and ascending."""
    if not 0 <= count <= scores.numel():
        raise ValueError(f"count must lie in [0, {scores.numel()}], the entries there are, got {count}")
    return _largest(scores.detach().float().flatten(), count).nonzero().flatten()


def _largest(
    scores: Tensor,  # (N,)
    count: int,
) -> Tensor:  # (N,), bool, `count` of them true
    """True at the `count` largest scores; of those equal to the smallest one kept, the first."""
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().sum())} of {scores.numel()} scores are NaN; did the training diverge?")
    if count == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    smallest_kept = scores.kthvalue(scores.numel() - count + 1).values
    kept = scores > smallest_kept
    equal = (scores == smallest_kept).nonzero().flatten()
    kept[equal[: count - int(kept.sum())]] = True
    return kept
