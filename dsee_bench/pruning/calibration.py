"""What a few training batches tell of each site: its inputs' size, its gradient, and what the loss would miss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dsee_bench.models.spec import Site
from dsee_bench.stages.stage import RunState

if TYPE_CHECKING:
    from torch import Tensor, nn


def losses(state: RunState, batches: int) -> "Iterator[Tensor]":
    """The loss of each of `batches` batches, drawn from the training set by the stage's seed."""
    from dsee_bench.training.train import loss_batches

    return loss_batches(
        state.model, state.tokenizer, state.data["train"], state.recipe, batches=batches, seed=state.seed
    )


def input_norms(state: RunState, sites: Sequence[Site], batches: int) -> "dict[Site, Tensor]":
    """Root mean square (I,) of each input feature over the tokens of `batches` training batches, padding left out."""
    import torch

    from dsee_bench.models.access import pretrained_module

    mask: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    tokens: dict[str, int] = {}

    def see_batch(_: "nn.Module", args: Any, kwargs: dict[str, Any]) -> None:
        mask["now"] = kwargs["attention_mask"].bool()

    def watch(path: str) -> Any:
        def see_input(_: "nn.Module", args: "tuple[Tensor, ...]") -> None:
            x = args[0].detach()
            tokenwise = x.dim() == 3 and x.shape[:2] == mask["now"].shape  # the pooler sees one token a row
            seen = x[mask["now"]] if tokenwise else x
            seen = seen.reshape(-1, x.shape[-1]).float()
            sums[path] = sums.get(path, 0) + seen.square().sum(0)
            tokens[path] = tokens.get(path, 0) + len(seen)

        return see_input

    hooks = [state.model.register_forward_pre_hook(see_batch, with_kwargs=True)]
    hooks += [
        pretrained_module(state.model, site).register_forward_pre_hook(watch(site.path))
        for site in {site.path: site for site in sites}.values()
    ]
    try:
        with torch.no_grad():
            for _ in losses(state, batches):
                pass
    finally:
        for hook in hooks:
            hook.remove()
    return {site: (sums[site.path] / tokens[site.path]).sqrt().cpu() for site in sites}


def input_losses(state: RunState, groups: Mapping[Site, int], batches: int) -> "dict[Site, Tensor]":
    """What zeroing each of a site's G groups of neighbouring input features would cost, to first order: (G,) each.

    The sum over tokens of |dLoss/dc| at c = 1, where c scales the group as a learned coefficient would; that is
    |x . dLoss/dx| over its features (heads: Michel et al., NeurIPS 2019; neurons: Molchanov et al., ICLR 2017).
    """
    from dsee_bench.models.access import module_at

    sums: dict[Site, Tensor] = {}

    def watch(site: Site) -> Any:
        def see_input(_: "nn.Module", args: "tuple[Tensor, ...]") -> "tuple[Tensor, ...]":
            x = args[0] if args[0].requires_grad else args[0].detach().requires_grad_(True)

            def see_gradient(gradient: "Tensor") -> None:
                by_group = (x.detach() * gradient).float().reshape(-1, groups[site], x.shape[-1] // groups[site])
                sums[site] = sums.get(site, 0) + by_group.sum(-1).abs().sum(0).cpu()

            x.register_hook(see_gradient)
            return x, *args[1:]

        return see_input

    hooks = [module_at(state.model, site).register_forward_pre_hook(watch(site)) for site in groups]
    try:
        for loss in losses(state, batches):
            loss.backward()
    finally:
        state.model.zero_grad(set_to_none=True)
        for hook in hooks:
            hook.remove()
    return sums


def weight_gradients(state: RunState, sites: Sequence[Site], batches: int) -> "dict[Site, Tensor]":
    """dLoss/dW (O, I) of each site, summed over `batches` training batches, on the CPU; the model is left as it was."""
    from dsee_bench.models.access import pretrained_module

    weights = {site: pretrained_module(state.model, site).get_parameter("weight") for site in sites}
    trained = [parameter for parameter in state.model.parameters() if parameter.requires_grad]
    for weight in weights.values():
        weight.requires_grad_(True)
    try:
        state.model.zero_grad(set_to_none=True)
        for loss in losses(state, batches):
            loss.backward()
        found = {site: weight.grad for site, weight in weights.items() if weight.grad is not None}
        return {site: (stored.T if site.transposed else stored).float().cpu().clone() for site, stored in found.items()}
    finally:
        state.model.zero_grad(set_to_none=True)
        for weight in weights.values():
            weight.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
