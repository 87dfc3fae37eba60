"""Choose where the sparse entries of the update sit, for every weight that gets some."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsee_bench.models.spec import Site
from dsee_bench.stages.stage import RunState

if TYPE_CHECKING:
    from torch import Tensor


def choose_positions(
    state: RunState, sites: Sequence[Site], where: str, entries: int, batches: int
) -> "dict[Site, Tensor]":
    """Flat positions (K,) in the (O, I) weight of each site, sorted; the same under the same seed.

    `gradient` reads dLoss/dW over `batches` batches of the training set.
    """
    import torch

    from dsee_bench.models.access import weight_of
    from dsee_bench.pruning.calibration import weight_gradients
    from dsee_bench.pruning.decomposition import place

    weights = {weight.site: weight for weight in state.spec.weights if weight.site in set(sites)}
    gradients = weight_gradients(state, sites, batches) if where == "gradient" and entries else {}
    positions = {}
    for site in sites:
        generator = torch.Generator().manual_seed(zlib.crc32(f"{state.seed} {site.path}".encode()))
        positions[site] = place(
            weight_of(state.model, site).float().cpu(),
            entries,
            where,  # type: ignore[arg-type]
            rank=weights[site].rank,
            generator=generator,
            gradient=gradients.get(site),
            name=site.path,
        )
    return positions
