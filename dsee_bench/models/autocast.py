"""DeBERTa under bfloat16 autocast.

Where a query comes out in float32 (version 1 adds float32 biases to it, and so does VeRA's adapter) beside bfloat16
scores, transformers masks the scores with float32's smallest number, which overflows and raises. Its attention computes
in float32 here.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.deberta import modeling_deberta
from transformers.models.deberta_v2 import modeling_deberta_v2


def _at_least_float32(hidden_states: Tensor) -> Tensor:
    return hidden_states.to(torch.promote_types(hidden_states.dtype, torch.float32))  # float64 stays


class Float32Attention(modeling_deberta.DisentangledSelfAttention):
    """Version 1's attention, whatever autocast asks for."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As its parent's."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            return super().forward(_at_least_float32(hidden_states), *args, **kwargs)


class Float32AttentionV2(modeling_deberta_v2.DisentangledSelfAttention):
    """Version 2's and 3's."""

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        """As its parent's."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            return super().forward(_at_least_float32(hidden_states), *args, **kwargs)


def keep_float32(model: PreTrainedModel) -> None:
    """Give every such attention of `model` the forward above, in place; other families have none."""
    for module in model.modules():
        if type(module) is modeling_deberta.DisentangledSelfAttention:
            module.__class__ = Float32Attention
        elif type(module) is modeling_deberta_v2.DisentangledSelfAttention:
            module.__class__ = Float32AttentionV2
