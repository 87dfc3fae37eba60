"""Heads and feed-forward neurons taken out: what it makes of a spec, and of transformers' modules.

A head is rows of query, key, value (and of the weights that project positions) and columns of the attention output; a
neuron is rows of the weights into the feed-forward part and a column of the weight out of it. Where query heads share
a key and value head they are removed with it: what can go is a group of heads, so that each keeps its own key.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dsee_bench.models.spec import Kind, LinearSpec, ModelSpec, Site

if TYPE_CHECKING:
    from torch import Tensor, nn

HEAD_ROWS: tuple[Kind, ...] = ("query", "key", "value", "position")
HEAD_COLUMNS: tuple[Kind, ...] = ("out",)
FFN_ROWS: tuple[Kind, ...] = ("ffn_in",)
FFN_COLUMNS: tuple[Kind, ...] = ("ffn_out",)
SCORED_HEADS: tuple[Kind, ...] = ("query", "value")  # where a delta's size says how much a head matters
# Attributes in which transformers' attention modules note how many heads they have, or how many features these make.
HEAD_COUNTS = ("num_attention_heads", "num_heads")
KEY_HEAD_COUNTS = ("num_key_value_heads",)
READ_THEIR_CONFIG = ("Phi3Attention",)  # for the number of heads, at each step; it then has a configuration of its own
HEAD_FEATURES = ("all_head_size", "split_size")


def refuse_shared_layers(spec: ModelSpec) -> None:
    """ValueError where layers share their weights (ALBERT): what one layer loses, all would lose."""
    if spec.uses > 1:
        raise ValueError(
            f"the {spec.layers * spec.uses} layers of this backbone share one layer's weights, so heads and neurons "
            "cannot be ranked or removed layer by layer; use an adapter or unstructured pruning (method=lora, "
            "method=dsee, method=omp), or another backbone"
        )


def head_groups(spec: ModelSpec) -> list[int]:
    """How many groups of heads each layer has: its heads, or its key and value heads where queries share them."""
    return [heads // spec.queries_per_key for heads in spec.attention]


def neurons(spec: ModelSpec) -> list[int]:
    """How many feed-forward neurons each layer has."""
    by_layer = {w.site.layer: w.inputs for w in spec.weights if w.site.kind in FFN_COLUMNS}
    return [by_layer[layer] for layer in range(spec.layers)]


def narrowed(spec: ModelSpec, heads: Sequence[int], ffn: Sequence[int]) -> ModelSpec:
    """The spec when layer by layer this many head groups and neurons stay.

    Masked and sparse entries are taken to lie evenly, so that their counts are estimates; the others are exact.
    """
    groups, before = head_groups(spec), neurons(spec)

    def change(weight: LinearSpec) -> LinearSpec:
        kind, layer = weight.site.kind, weight.site.layer
        if layer is None:
            return weight
        outputs, inputs = weight.outputs, weight.inputs
        if kind in HEAD_ROWS:
            outputs = outputs // groups[layer] * heads[layer]
        elif kind in HEAD_COLUMNS:
            inputs = inputs // groups[layer] * heads[layer]
        elif kind in FFN_ROWS:
            outputs = outputs * ffn[layer] // before[layer]
        elif kind in FFN_COLUMNS:
            inputs = inputs * ffn[layer] // before[layer]
        share = outputs * inputs / weight.size
        return replace(
            weight,
            outputs=outputs,
            inputs=inputs,
            nnz=round(weight.nnz * share),
            bias=outputs if weight.bias else 0,
            num_entries=round(weight.num_entries * share),
            coefficients=0,
        )

    return replace(
        spec,
        weights=tuple(change(weight) for weight in spec.weights),
        attention=tuple(count * spec.queries_per_key for count in heads),
    )


def narrow_weight(
    module: "nn.Module",  # Linear or Conv1D
    rows: "Tensor | None",  # outputs that stay; None: all
    columns: "Tensor | None",  # inputs that stay; None: all
    *,
    transposed: bool,
) -> None:
    """Keep these rows and columns of a module's weight, and its bias's entries, in place."""
    from transformers.pytorch_utils import Conv1D

    names = ("nf", "nx") if isinstance(module, Conv1D) else ("out_features", "in_features")
    for kept, axis in ((rows, 0), (columns, 1)):
        if kept is None:
            continue
        narrow_parameter(module, "weight", kept, 1 - axis if transposed else axis)
        if axis == 0 and module.bias is not None:
            narrow_parameter(module, "bias", kept, 0)
        setattr(module, names[axis], len(kept))


def narrow_parameter(module: "nn.Module", name: str, kept: "Tensor", axis: int) -> None:
    """Keep these entries of a parameter along one axis; it stays as trainable as it was."""
    from torch import nn

    old = getattr(module, name)
    new = old.detach().index_select(axis, kept.to(old.device)).contiguous()
    setattr(module, name, nn.Parameter(new, requires_grad=old.requires_grad))


def narrow_bias(model: "nn.Module", site: Site, rows: "Tensor") -> None:
    """The same for a bias that lies outside the site's module."""
    if site.bias is not None:
        path, _, name = site.bias.rpartition(".")
        narrow_parameter(model.get_submodule(path), name, rows, 0)


def note_heads(model: "nn.Module", sites: Sequence[Site], spec: ModelSpec, heads: int) -> None:
    """Tell the attention module above these sites of one layer how many heads it has now."""
    counts = {
        **dict.fromkeys(HEAD_COUNTS, heads),
        **dict.fromkeys(KEY_HEAD_COUNTS, heads // spec.queries_per_key),
        **dict.fromkeys(HEAD_FEATURES, heads * spec.head_size),
    }
    parents = {site.path.rpartition(".")[0] for site in sites if site.kind in ("query", "position")}
    for path in parents | {parent.rpartition(".")[0] for parent in parents}:  # a split module stands between
        module: Any = model.get_submodule(path)  # nn.Module's attributes may be tensors, as its types have it
        for name in counts.keys() & vars(module).keys():
            setattr(module, name, counts[name])
        if type(module).__name__ in READ_THEIR_CONFIG:
            module.config = copy.copy(module.config)
            module.config.num_attention_heads = heads
