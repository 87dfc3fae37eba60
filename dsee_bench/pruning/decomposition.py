"""Where the K trained entries of S2 sit: Ω, chosen from a weight (paper, Section 3).

`decomposition` splits W ≈ U V + S, U V of low rank and S sparse, by greedy bilateral smoothing (GreBsmo: Zhou and Tao,
"Greedy Bilateral Sketch, Completion & Smoothing", AISTATS 2013): the rank grows in steps, and at each rank
U = Q of QR((W - S) Vᵀ), V = Uᵀ (W - S), S = threshold(W - U V) are repeated, starting from S = 0. Ω = the K largest
|S|; U, V and the values of S are thrown away.

Authors' code: run_glue_prune_with_WAB.py, VITA-Group/DSEE at 61844c3. Its constants are the placement `authors`. By
default (ours) the rank ends at that of the adapter instead of 496, a rank ends when its residual no longer moves, and
the threshold has no scale: S keeps the K largest residuals of each pass. In both, exactly K positions come out.

Letters: O outputs, I inputs, K entries of S2.
"""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from dsee_bench.pruning import Placement
from dsee_bench.pruning.masks import keep_positions


@dataclass(frozen=True)
class Smoothing:
    """The constants of a greedy bilateral smoothing."""

    ranks: tuple[int, ...]  # of U V, one a round
    passes: int  # at most so many over U, V, S in a round
    threshold: float | None  # residuals of at least this size go to S; None: the K largest do
    tolerance: float  # a round ends when the residual's norm changed by less than this share


AUTHORS = Smoothing(ranks=tuple(range(1, 497, 5)), passes=2, threshold=0.01, tolerance=0.0)


def smoothing(rank: int) -> Smoothing:
    """Our default: four even steps up to `rank`, each run until it converges."""
    steps = min(4, rank)
    ranks = tuple(rank * step // steps for step in range(1, steps + 1))
    return Smoothing(ranks=ranks, passes=50, threshold=None, tolerance=1e-4)


def place(
    weight: Tensor,  # (O, I)
    count: int,  # K
    how: Placement,
    *,
    rank: int,  # of the adapter
    generator: torch.Generator,
    gradient: Tensor | None = None,  # (O, I), d loss / d W
    name: str,  # of the weight, for errors
) -> Tensor:  # (K,), int64, ascending
    """Ω: the flat positions of the `count` entries of `weight` to train.

    `magnitude` takes the largest |W|, `gradient` (ours, after RoSA) the largest |dL/dW|, `random` any, `none` none at
    all. Ties go to the earlier position, and the same generator state gives the same positions. ValueError for numbers
    that are not finite, and for a weight from which a decomposition leaves fewer than `count` entries.
    """
    if how not in get_args(Placement):
        raise ValueError(f"unknown placement {how!r}; there is {', '.join(get_args(Placement))}")
    if not 0 <= count <= weight.numel():
        raise ValueError(f"{name} has {weight.numel()} entries, cannot train {count} of them; lower num_entries")
    if how == "none" or count == 0:
        return torch.empty(0, dtype=torch.int64, device=weight.device)
    if how == "random":
        chosen = torch.randperm(weight.numel(), generator=generator, device=generator.device)[:count]
        return chosen.sort().values.to(weight.device)
    _check_finite(weight, name)
    if how == "magnitude":
        return keep_positions(weight.abs(), count)
    if how == "gradient":
        if gradient is None:
            raise ValueError(f"placement 'gradient' needs dL/dW of {name}, got None; measure it on a few batches first")
        _check_finite(gradient, f"dL/dW of {name}")
        return keep_positions(gradient.abs(), count)
    constants = AUTHORS if how == "authors" else smoothing(rank)
    return decomposition_positions(weight, count, constants, generator=generator, name=name)


def decomposition_positions(
    weight: Tensor,  # (O, I)
    count: int,  # K
    constants: Smoothing,
    *,
    generator: torch.Generator,
    name: str,
) -> Tensor:  # (K,), int64, ascending
    """Flat positions of the `count` largest |S| of W ≈ U V + S; ValueError where S has fewer entries than that."""
    sparse = sparse_part(weight, count, constants, generator=generator)
    found = int(sparse.count_nonzero())
    if found < count:
        threshold = "rounding" if constants.threshold is None else f"threshold {constants.threshold}"
        raise ValueError(
            f"only {found} entries of {name} {tuple(weight.shape)} stand out from its rank {constants.ranks[-1]} "
            f"part by more than {threshold}, {count} are to be trained{_why_little_stands_out(weight)}; lower the "
            "rank or num_entries, or place them by 'magnitude', 'gradient' or 'random'"
        )
    return keep_positions(sparse.abs(), count)


def _check_finite(values: Tensor, name: str) -> None:
    nans, infinite = int(values.isnan().sum()), int(values.isinf().sum())
    if nans or infinite:
        found = " and ".join(f"{n} {what}" for n, what in ((nans, "NaN"), (infinite, "infinite")) if n)
        raise ValueError(f"{name} has {found} of {values.numel()} entries, so none can be chosen by size; mend them")


def _why_little_stands_out(weight: Tensor) -> str:
    """What is special about a weight that its low-rank part takes up; "" if nothing is."""
    if weight.min() == weight.max():
        return f" (the weight is constant: every entry is {float(weight.min()):g})"
    rank = int(torch.linalg.matrix_rank(weight.detach().float()))
    return f" (the weight is exactly of rank {rank})" if rank < min(weight.shape) else ""


def sparse_part(
    weight: Tensor,  # (O, I)
    count: int,  # K
    constants: Smoothing,
    *,
    generator: torch.Generator,
) -> Tensor:  # (O, I), float32, most entries zero
    """S of W ≈ U V + S by greedy bilateral smoothing, from a random V."""
    w = weight.detach().float()
    # Below this a residual is rounding, not content: W is then of low rank to the last digit.
    rounding = 16 * torch.finfo(w.dtype).eps * float(w.abs().max())
    v = torch.randn(constants.ranks[0], w.shape[1], generator=generator, device=generator.device).to(w.device)
    left = w
    for step, rank in enumerate(constants.ranks):
        if step > 0:
            v = torch.cat([v, _rows_of(left, rank - constants.ranks[step - 1])])
        s = torch.zeros_like(w)
        size = float(left.norm())
        for _ in range(constants.passes):
            rest = w - s
            u = torch.linalg.qr(rest @ v.T).Q
            v = u.T @ rest
            residual = w - u @ v
            s = _sparsify(residual, count, constants.threshold, rounding)
            left = residual - s
            before, size = size, float(left.norm())
            if abs(before - size) <= constants.tolerance * before:
                break
    return s


def _rows_of(
    left: Tensor,  # (O, I)
    rows: int,
) -> Tensor:  # (rows, I)
    """The first rows of R in QR(left), found from its first columns alone: what the authors grow V by."""
    return torch.linalg.qr(left[:, :rows]).Q.T @ left


def _sparsify(
    residual: Tensor,  # (O, I)
    count: int,
    threshold: float | None,
    rounding: float,
) -> Tensor:  # (O, I)
    """`residual` where it reaches the threshold (None: where it is among the `count` largest), else 0."""
    size = residual.abs()
    if threshold is None:
        threshold = float(size.flatten().topk(count).values[-1])
    return residual.where(size >= max(threshold, rounding), 0.0)
