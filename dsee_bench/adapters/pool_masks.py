"""Masks over weights that are ranked together, by any score: of W, of its adapter, or of what a few batches say."""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast, get_args

import torch
from torch import Tensor, nn

from dsee_bench.adapters.protocol import adapter_of
from dsee_bench.models.access import module_at, weight_of
from dsee_bench.models.spec import Site
from dsee_bench.pruning import WITHOUT_ADAPTER, DataScore, Scope, ScoreName
from dsee_bench.pruning.calibration import input_norms, weight_gradients
from dsee_bench.pruning.masks import entry_scores, first_order_scores, masks_in_scope, wanda_scores


def pool_masks(
    model: nn.Module,
    sites: Sequence[Site],
    score: ScoreName | DataScore,
    sparsity: float,  # share of the entries that are zeroed
    scope: Scope,
    *,
    earlier: Mapping[Site, Tensor],  # (O, I) bool; what they removed goes first, and stays gone
    losses: Iterable[Tensor],  # of a few batches; read by `wanda` and `gradient` alone
    seed: int,  # for `random`
    authors: bool = False,  # scores as the authors' code computes them
) -> dict[Site, Tensor]:  # (O, I) bool each, on the CPU, True where W stays
    """Return the masks that drop the smallest entries of these weights; the model is left as it is."""
    measure = {"wanda": input_norms, "gradient": weight_gradients}.get(score)
    measured = measure(model, sites, losses) if measure else {}
    generator = torch.Generator().manual_seed(seed)
    scores = []
    for site in sites:
        weight = weight_of(model, site).float().cpu()
        if score in get_args(DataScore):
            found = (wanda_scores if score == "wanda" else first_order_scores)(weight, measured[site])
        else:
            adapter = None if score in WITHOUT_ADAPTER else adapter_of(module_at(model, site))
            low_rank = sparse = None
            scale = 1.0
            if adapter is not None:
                low_rank, sparse = adapter.low_rank_delta().detach().float().cpu(), adapter.sparse_delta().float().cpu()
                scale = adapter.scale()
            name = cast(ScoreName, score)
            found = entry_scores(name, weight, low_rank, sparse, scale, authors=authors, generator=generator)
        scores.append(found.masked_fill(~earlier[site], -1.0) if site in earlier else found)
    masks = dict(zip(sites, masks_in_scope(scores, sparsity, scope), strict=True))
    return {site: mask & earlier[site] if site in earlier else mask for site, mask in masks.items()}
