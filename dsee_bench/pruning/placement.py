"""Choose where the entries of S2 sit, for every weight that gets some."""

import zlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from dsee_bench.models.access import weight_of
from dsee_bench.models.spec import LinearSpec, Site
from dsee_bench.pruning import Placement
from dsee_bench.pruning.calibration import weight_gradients
from dsee_bench.pruning.decomposition import place


def choose_positions(
    model: nn.Module,
    weights: Sequence[LinearSpec],
    placement: Placement,
    count: int,  # K of each weight
    *,
    seed: int,
    losses: Iterable[Tensor] = (),  # of a few batches; read by `gradient` alone
) -> dict[Site, Tensor]:  # (K,) each, flat in (O, I), ascending
    """Choose the positions of S2 in each weight; the same under the same seed."""
    sites = [weight.site for weight in weights]
    gradients = weight_gradients(model, sites, losses) if placement == "gradient" and count else {}
    return {
        weight.site: place(
            weight_of(model, weight.site).float().cpu(),
            count,
            placement,
            rank=weight.rank,
            generator=torch.Generator().manual_seed(zlib.crc32(f"{seed} {weight.site.path}".encode())),
            gradient=gradients.get(weight.site),
            name=weight.site.path,
        )
        for weight in weights
    }
