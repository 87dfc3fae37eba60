"""Scores of groups of rows or columns (attention heads, feed-forward neurons) and the choice of which to keep.

A head's score is the sum of absolute entries over its rows, as in the authors' structured pruning (there of query and
value alone). Counts are exact, ties go to the earlier group, and one group of each layer always stays.

Letters: O outputs, I inputs, G groups, each of O / G (or I / G) neighbouring rows (columns).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dsee_bench.pruning.masks import keep_positions


def row_scores(
    matrix: Tensor,  # (O, I)
    groups: int,
) -> Tensor:  # (G,)
    """Sum of absolute entries over the rows of each group."""
    if matrix.shape[0] % groups:
        raise ValueError(f"{matrix.shape[0]} rows do not divide into {groups} groups")
    return matrix.detach().float().abs().sum(1).view(groups, -1).sum(1)


def column_scores(
    matrix: Tensor,  # (O, I)
    groups: int,
) -> Tensor:  # (G,)
    """Sum of absolute entries over the columns of each group."""
    return row_scores(matrix.T, groups)


def keep_in_each(scores: Sequence[Tensor], removed: Sequence[int]) -> list[Tensor]:
    """The groups kept in each layer, ascending, when each loses its `removed` smallest."""
    for layer, (score, count) in enumerate(zip(scores, removed, strict=True)):
        if not 0 <= count < len(score):
            raise ValueError(f"layer {layer} has {len(score)} groups, of which {count} cannot go: one must stay")
    return [keep_positions(score, len(score) - count) for score, count in zip(scores, removed, strict=True)]


def keep_overall(scores: Sequence[Tensor], removed: int) -> list[Tensor]:
    """The groups kept in each layer, ascending, when the `removed` smallest of all go; each layer keeps its largest."""
    total = sum(len(score) for score in scores)
    if not 0 <= removed <= total - len(scores):
        raise ValueError(f"of {total} groups in {len(scores)} layers {removed} cannot go: one must stay in each layer")
    pool = torch.cat([score.detach().float() for score in scores])
    if pool.isnan().any():
        raise ValueError(f"{int(pool.isnan().sum())} of {total} scores are NaN; did the training diverge?")
    start = 0
    for score in scores:
        pool[start + int(score.argmax())] = torch.inf
        start += len(score)
    kept = torch.zeros(total, dtype=torch.bool)
    kept[keep_positions(pool, total - removed)] = True
    return [part.nonzero().flatten() for part in kept.split([len(score) for score in scores])]


def members(
    kept: Tensor,  # groups
    size: int,  # rows of each
) -> Tensor:  # (len(kept) * size,)
    """The rows (or columns) of these groups."""
    return (kept[:, None] * size + torch.arange(size, device=kept.device)).flatten()
