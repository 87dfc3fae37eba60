"""What the losses of a few batches say about each weight: its inputs' size, its gradient, what its inputs are worth.

`losses` is an iterable that runs the model on one batch after another and gives each loss, as
`(model(**batch).loss for batch in batches)`; the hooks stand while it runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dsee_bench.models.access import module_at, pretrained_module
from dsee_bench.models.spec import Site


@contextmanager
def _hooked(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove these hooks at the end."""
    standing = list(handles)
    try:
        yield
    finally:
        for handle in standing:
            handle.remove()


def input_norms(model: nn.Module, sites: Sequence[Site], losses: Iterable[Tensor]) -> dict[Site, Tensor]:
    """Return the root mean square (I,) of each input feature over all tokens; padding is left out."""
    mask: dict[str, Tensor | None] = {}
    sums: dict[str, Tensor] = {}
    tokens: dict[str, int] = {}

    def see_batch(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        mask["now"] = kwargs["attention_mask"].bool() if "attention_mask" in kwargs else None

    def watch(path: str) -> Any:
        def see_input(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            x, real = args[0].detach(), mask["now"]
            tokenwise = real is not None and x.dim() == 3 and x.shape[:2] == real.shape  # a pooler sees one token a row
            rows = (x[real] if tokenwise else x).reshape(-1, x.shape[-1]).float()
            sums[path] = sums.get(path, 0) + rows.square().sum(0)
            tokens[path] = tokens.get(path, 0) + len(rows)

        return see_input

    modules = {site.path: pretrained_module(model, site) for site in sites}
    handles = [
        model.register_forward_pre_hook(see_batch, with_kwargs=True),
        *(module.register_forward_pre_hook(watch(path)) for path, module in modules.items()),
    ]
    with _hooked(handles), torch.no_grad():
        for _ in losses:
            pass
    return {site: (sums[site.path] / tokens[site.path]).sqrt().cpu() for site in sites}


def input_losses(model: nn.Module, groups: Mapping[Site, int], losses: Iterable[Tensor]) -> dict[Site, Tensor]:
    """Return what zeroing each of a site's G groups of neighbouring inputs would cost, to first order: (G,) each.

    The sum over tokens of |dLoss/dc| at c = 1, where c scales the group as a learned coefficient would; that is
    |x . dLoss/dx| over its features (heads: Michel et al., NeurIPS 2019; neurons: Molchanov et al., ICLR 2017).
    """
    sums: dict[Site, Tensor] = {}

    def watch(site: Site) -> Any:
        def see_input(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            x = args[0] if args[0].requires_grad else args[0].detach().requires_grad_(True)

            value = x.detach()  # the hook must not hold x, which holds the hook: such rings keep a whole batch alive

            def see_gradient(gradient: Tensor) -> None:
                by_group = (value * gradient).float().reshape(-1, groups[site], value.shape[-1] // groups[site])
                sums[site] = sums.get(site, 0) + by_group.sum(-1).abs().sum(0).cpu()

            x.register_hook(see_gradient)
            return x, *args[1:]

        return see_input

    try:
        with _hooked(module_at(model, site).register_forward_pre_hook(watch(site)) for site in groups):
            for loss in losses:
                loss.backward()
    finally:
        model.zero_grad(set_to_none=True)
    return sums


def weight_gradients(model: nn.Module, sites: Sequence[Site], losses: Iterable[Tensor]) -> dict[Site, Tensor]:
    """Return dLoss/dW (O, I) of each site, summed over the losses, on the CPU; what trains stays as it was."""
    weights = {site: pretrained_module(model, site).get_parameter("weight") for site in sites}
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        model.zero_grad(set_to_none=True)
        for loss in losses:
            loss.backward()
        found = {site: weight.grad for site, weight in weights.items() if weight.grad is not None}
        return {site: (stored.T if site.transposed else stored).float().cpu().clone() for site, stored in found.items()}
    finally:
        model.zero_grad(set_to_none=True)
        for weight in weights.values():
            weight.requires_grad_(id(weight) in trained)
