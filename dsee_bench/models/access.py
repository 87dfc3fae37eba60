"""The module and the weight at a site, whether or not an adapter is wrapped around them."""

from typing import TYPE_CHECKING, Any

from dsee_bench.models.spec import ModelSpec, Site

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def module_at(model: "nn.Module", site: Site) -> "nn.Module":
    """Return the module at the site's path: the adapter layer once one is attached."""
    return model.get_submodule(site.path)


def pretrained_module(model: "nn.Module", site: Site) -> "nn.Module":
    """Return the module that holds the pretrained weight, inside any adapter layer."""
    module: Any = module_at(model, site)  # nn.Module's attributes may be tensors, as its types have it
    while hasattr(module, "base_layer"):
        module = module.base_layer
    return module


def weight_of(model: "nn.Module", site: Site) -> "Tensor":
    """Return the pretrained weight (O, I) as a view without gradient: writing to it changes the model."""
    stored: Tensor = pretrained_module(model, site).get_parameter("weight").detach()
    return stored.T if site.transposed else stored


def head_parameters(model: "PreTrainedModel", spec: ModelSpec) -> set[str]:
    """Return the names of the task head's parameters: outside the pretrained part, or in the spec's head modules."""
    prefix = f"{model.base_model_prefix}."
    inside = tuple(f"{path}." for path in spec.head_modules)
    unembedding = model.get_output_embeddings()
    pretrained = set() if unembedding is None else set(unembedding.parameters())  # of a language model
    return {
        name
        for name, parameter in model.named_parameters()
        if (not name.startswith(prefix) or name.startswith(inside)) and parameter not in pretrained
    }
