"""A user's own transformers model as numbers, as it stands: narrowed, pruned, with fused weights whole or split."""

from dataclasses import replace

from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from dsee_bench.models.access import pretrained_module, weight_of
from dsee_bench.models.backbone import Backbone
from dsee_bench.models.families import families
from dsee_bench.models.fused import Fused
from dsee_bench.models.position_bias import columns_of
from dsee_bench.models.spec import LinearSpec, ModelSpec, Site


def spec_of(model: PreTrainedModel) -> ModelSpec:
    """Return the spec of a model of a known family, without its adapters; ValueError for another family.

    Shapes and zeros are those of the weights. A fused weight that is whole is one site, of the kind of its first part.
    """
    spec = untouched_spec_of(model)
    weights = tuple(_as_it_is(model, weight) for weight in spec.weights)
    heads = tuple(weight.inputs // spec.head_size for weight in weights if weight.site.kind == "out")
    return replace(spec, weights=weights, attention=heads, head_columns=columns_of(model, spec))


def untouched_spec_of(model: PreTrainedModel) -> ModelSpec:
    """Return the spec that the model's configuration gives, with the sites that the model has."""
    backbone = _backbone(model)
    labels = None if backbone.generates and model.get_output_embeddings() is not None else model.config.num_labels
    spec = backbone.spec(labels)
    modules = dict(model.named_modules())
    # Paths start at the task model; a bare encoder has no module of that name around it.
    outside = f"{model.base_model_prefix}." if model.base_model is model else ""
    weights: dict[str, LinearSpec] = {}
    for weight in spec.weights:
        site = _site(replace(weight.site, path=weight.site.path.removeprefix(outside)), modules)
        if site is not None:
            weights.setdefault(site.path, replace(weight, site=site))
    if not weights:
        raise ValueError(f"{type(model).__name__} has no module at {spec.weights[0].site.path}; give the whole model")
    return replace(spec, weights=tuple(weights.values()))


def whole_and_adapted(model: nn.Module) -> list[str]:
    """Return the paths of fused modules that are whole and have an adapter around them."""
    ends = tuple(end for family in families().values() for end in family.fused)
    fused = [(name, module) for name, module in model.named_modules() if name.endswith(ends)]
    return [name for name, module in fused if isinstance(module, BaseTunerLayer)]


def _backbone(model: PreTrainedModel) -> Backbone:
    config = model.config
    family = families().get(config.model_type)
    if family is None:
        raise ValueError(
            f"there is no table of paths for model_type {config.model_type}; there is {', '.join(sorted(families()))}"
        )
    backbone = family(
        name=config.model_type,
        model_type=config.model_type,
        hub=None,
        revision=None,
        package=None,
        path=None,
        random=True,
        **family.numbers(config),
    )
    if wrong := backbone.differences(config.to_dict()):
        raise ValueError(f"the table of paths for {config.model_type} does not hold for this model: {'; '.join(wrong)}")
    return backbone


def _site(site: Site, modules: dict[str, nn.Module]) -> Site | None:
    """The site as the model has it: a part of a fused weight that is whole stands for all of it; None if absent."""
    if site.path in modules:
        return site
    path = site.path.rpartition(".")[0]
    whole = modules.get(path)
    if whole is None or isinstance(whole, Fused) or not isinstance(whole, nn.Linear | Conv1D | BaseTunerLayer):
        return None
    inner = whole.get_base_layer() if isinstance(whole, BaseTunerLayer) else whole
    return Site(path, site.kind, site.layer, transposed=isinstance(inner, Conv1D))


def _as_it_is(model: nn.Module, weight: LinearSpec) -> LinearSpec:
    stored = weight_of(model, weight.site)
    outputs, inputs = stored.shape
    nnz = int(stored.count_nonzero())
    bias = outputs if weight.site.bias or pretrained_module(model, weight.site).bias is not None else 0
    return replace(weight, outputs=outputs, inputs=inputs, nnz=nnz, bias=bias, merges=nnz == outputs * inputs)
