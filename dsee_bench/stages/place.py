"""Choose where the sparse entries of the update sit, for every weight that gets some."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dsee_bench.backbones.site import Site
from dsee_bench.stages.stage import RunState

if TYPE_CHECKING:
    from torch import Tensor


def choose_positions(
    state: RunState, sites: Sequence[Site], where: str, entries: int, batches: int
) -> "dict[Site, Tensor]":
    """Flat positions (K,) in the (O, I) weight of each site, sorted; the same under the same seed.

    `gradient` reads dLoss/dW over the first `batches` batches of the training set.
    """
    import torch

    from dsee_bench.backbones.access import weight_of
    from dsee_bench.sparse.decompose import place

    weights = {weight.site: weight for weight in state.outline.weights if weight.site in set(sites)}
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


def weight_gradients(state: RunState, sites: Sequence[Site], batches: int) -> "dict[Site, Tensor]":
    """dLoss/dW (O, I) of each site, summed over `batches` training batches, on the CPU; the model is left as it was."""
    from dsee_bench.backbones.access import pretrained_module
    from dsee_bench.training.train import loss_batches

    weights = {site: pretrained_module(state.model, site).get_parameter("weight") for site in sites}
    trained = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        state.model.zero_grad(set_to_none=True)
        for loss in loss_batches(state.model, state.tokenizer, state.data["train"], state.recipe, batches):
            loss.backward()
        found = {site: weight.grad for site, weight in weights.items() if weight.grad is not None}
        return {site: (stored.T if site.transposed else stored).float().cpu().clone() for site, stored in found.items()}
    finally:
        state.model.zero_grad(set_to_none=True)
        for weight in weights.values():
            weight.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
