"""Give the DSEE adapters of a model their positions and masks.

Letters: O outputs, I inputs, K entries of S2.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from dsee_bench.adapters.dsee.layer import DseeLayer
from dsee_bench.adapters.protocol import ADAPTER
from dsee_bench.models.access import module_at
from dsee_bench.models.spec import LinearSpec, Site


def dsee_layer(model: nn.Module, site: Site) -> DseeLayer:
    """Return the DSEE layer at a site, where a stage put one."""
    layer = module_at(model, site)
    assert isinstance(layer, DseeLayer), f"{site.path} is a {type(layer).__name__}"
    return layer


def set_positions(
    model: nn.Module,
    positions: Mapping[Site, Tensor],  # (K,) each, flat in (O, I)
) -> None:
    """Give S2 of each site these entries, all zero."""
    for site, flat in positions.items():
        dsee_layer(model, site).set_positions(ADAPTER, [flat])


def mask_adapters(model: nn.Module, weights: Iterable[LinearSpec], masks: Mapping[Site, Tensor]) -> None:
    """Put the mask of each weight on its adapter, too: all true where the weight has none."""
    for site in (weight.site for weight in weights if weight.adapter):
        layer = dsee_layer(model, site)
        everything = torch.ones(layer.oriented_weight.shape, dtype=torch.bool)
        layer.set_mask(ADAPTER, masks[site].clone() if site in masks else everything)
