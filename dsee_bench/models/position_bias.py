"""MPNet's attention with fewer heads. All layers share one table of position biases, with a column for each head, so a
layer that has lost heads takes the columns of those that are left.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers.models.mpnet.modeling_mpnet import MPNetSelfAttention

from dsee_bench.models.spec import Site


class NarrowableAttention(MPNetSelfAttention):
    """MPNet's attention; `left` has bit h set where it still has head h of the table."""

    left: int

    def heads(self) -> list[int]:
        """Return the heads that are left."""
        return [head for head in range(self.left.bit_length()) if self.left >> head & 1]

    def keep(self, kept: Sequence[int]) -> None:
        """Keep these of the heads that are left, by their place among them."""
        heads = self.heads()
        self.left = sum(1 << heads[place] for place in kept)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,  # (1, heads of the table, tokens, tokens)
        **kwargs: Any,
    ) -> Any:
        """As its parent's."""
        if position_bias is not None:
            position_bias = position_bias[:, self.heads()]
        return super().forward(hidden_states, attention_mask, position_bias, **kwargs)


def make_narrowable(model: nn.Module) -> None:
    """Give every such attention of `model` the forward above, in place."""
    for module in model.modules():
        if type(module) is MPNetSelfAttention:
            module.__class__ = NarrowableAttention
            module.left = 2**module.num_attention_heads - 1


def keep_heads(model: nn.Module, sites: Sequence[Site], kept: Tensor) -> None:
    """Tell the attention module above these sites of one layer which of its heads are kept."""
    for path in {site.path.rpartition(".")[0] for site in sites if site.kind == "query"}:
        module = model.get_submodule(path)
        if isinstance(module, NarrowableAttention):
            module.keep(kept.tolist())
