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


GROUP = 64  # entries whose largest is compared first
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
    w = weight.detach().float().contiguous()
    # Below this a residual is rounding, not content: W is then of low rank to the last digit.
    rounding = 16 * torch.finfo(w.dtype).eps * float(w.abs().max())
    v = torch.randn(constants.ranks[0], w.shape[1], generator=generator, device=generator.device).to(w.device)
    # Few entries of S are not zero, and most time goes into memory: S is its places, and W - S, W - U V stay in place.
    rest, left, size_of = w.clone(), w.clone(), torch.empty_like(w)
    places = torch.empty(0, dtype=torch.int64, device=w.device)
    values = torch.empty(0, device=w.device)
    for step, rank in enumerate(constants.ranks):
        if step > 0:
            v = torch.cat([v, _rows_of(left, rank - constants.ranks[step - 1])])
        rest.view(-1)[places] = w.view(-1)[places]
        norm = float(left.norm())
        for _ in range(constants.passes):
            u = torch.linalg.qr(rest @ v.T).Q
            v = u.T @ rest
            torch.sub(w, torch.mm(u, v, out=left), out=left)
            rest.view(-1)[places] = w.view(-1)[places]
            places = _standing_out(torch.abs(left, out=size_of), count, constants.threshold, rounding)
            values = left.view(-1)[places]
            rest.view(-1)[places] -= values
            left.view(-1)[places] = 0
            before, norm = norm, float(left.norm())
            if abs(before - norm) <= constants.tolerance * before:
                break
    s = torch.zeros_like(w)
    s.view(-1)[places] = values
    return s


def _rows_of(
    left: Tensor,  # (O, I)
    rows: int,
) -> Tensor:  # (rows, I)
    """The first rows of R in QR(left), found from its first columns alone: what the authors grow V by."""
    return torch.linalg.qr(left[:, :rows]).Q.T @ left


def _standing_out(
    size: Tensor,  # (O, I), |residual|
    count: int,
    threshold: float | None,
    rounding: float,
) -> Tensor:  # int64
    """The flat positions of the entries that reach the threshold; None: that are among the `count` largest."""
    if threshold is not None:
        return (size.view(-1) >= max(threshold, rounding)).nonzero().view(-1)
    columns = size.numel() // GROUP
    if size.numel() % GROUP or count > columns // 4:
        smallest = float(size.view(-1).topk(count).values[-1])
        return (size.view(-1) >= max(smallest, rounding)).nonzero().view(-1)
    # The `count` largest entries lie in the columns whose own largest is no smaller than the `count` largest of these:
    # a look at a few columns in place of a sort of all entries.
    table = size.view(GROUP, columns)
    largest = table.amax(0)
    chosen = (largest >= largest.topk(count).values[-1]).nonzero().view(-1)
    few = table[:, chosen]
    smallest = float(few.flatten().topk(count).values[-1])
    row, column = (few >= max(smallest, rounding)).nonzero(as_tuple=True)
    return row * columns + chosen[column]
