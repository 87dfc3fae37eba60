"""MPNet's attention with fewer heads. All layers share one table of position biases, with a column for each head, so a
layer that has lost heads takes the columns of those that are left.
"""

from typing import Any

from torch import Tensor, nn
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention

from dsee_bench.models.spec import ModelSpec


class NarrowableAttention(MPNetSelfAttention):
    """MPNet's attention, with the columns of its heads in the table."""

    columns: tuple[int, ...]

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,  # (1, heads of the table, tokens, tokens)
        **kwargs: Any,
    ) -> Any:
        """As its parent's."""
        if position_bias is not None:
            position_bias = position_bias[:, list(self.columns)]
        return super().forward(hidden_states, attention_mask, position_bias, **kwargs)


def make_narrowable(model: nn.Module) -> None:
    """Give every such attention of `model` the forward above, in place."""
    module: Any  # nn.Module's attributes may be tensors, as its types have it
    for module in model.modules():
        if type(module) is MPNetSelfAttention:
            module.__class__ = NarrowableAttention
            module.columns = tuple(range(module.num_attention_heads))


def keep_columns(model: nn.Module, spec: ModelSpec, layer: int, heads: Tensor) -> tuple[int, ...]:
    """Keep these of a layer's heads, by their place among those that it has; return the columns they are in."""
    columns: tuple[int, ...] = ()
    for module in _attention(model, spec, layer):
        places = range(len(heads)) if heads.is_meta else heads.tolist()
        columns = module.columns = tuple(module.columns[place] for place in places)
    return columns


def columns_of(model: nn.Module, spec: ModelSpec) -> tuple[tuple[int, ...], ...]:
    """Return the columns of each layer's heads; () where the model has no such table, or has not lost a head."""
    return tuple(module.columns for layer in range(spec.layers) for module in _attention(model, spec, layer))


def set_columns(model: nn.Module, spec: ModelSpec) -> None:
    """Give each layer the columns that `spec` states; ValueError for one that the table lacks."""
    table: Any = model.config
    for layer, (columns, heads) in enumerate(zip(spec.head_columns, spec.attention, strict=True)):
        for module in _attention(model, spec, layer):
            if len(columns) != heads or not all(0 <= column < table.num_attention_heads for column in columns):
                raise ValueError(f"layer {layer} has {heads} heads in the columns {columns}, which cannot be")
            module.columns = columns


def _attention(model: nn.Module, spec: ModelSpec, layer: int) -> list[NarrowableAttention]:
    sites = [weight.site for weight in spec.weights if weight.site.layer == layer and weight.site.kind == "query"]
    modules = [model.get_submodule(site.path.rpartition(".")[0]) for site in sites]
    return [module for module in modules if isinstance(module, NarrowableAttention)]
