"""A language model as an ONNX file, its cache among the inputs and outputs; and texts written with such a file.

The names are those that optimum gives: `past_key_values.0.key` and `.value` of each layer go in, `present.0.key` and
`.value` come out, a token longer or more. Positions are counted from the attention mask, so they are no input.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

PAST, PRESENT = "past_key_values.", "present."
Pairs = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (batch, heads, tokens, width)
Arrays = Mapping[str, np.ndarray]
Answer = Callable[[Arrays], Sequence[np.ndarray]]  # what a runtime does with a file: inputs by name to outputs


class WithCache(nn.Module):
    """A language model whose cache is a list of tensors, which an exporter can trace."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def forward(self, input_ids: Tensor, attention_mask: Tensor, past: Pairs) -> tuple[Tensor, Pairs]:
        """Return logits (batch, new tokens, vocabulary) and the longer cache.

        `input_ids` are the new tokens; `attention_mask` (batch, past + new tokens) is 0 where a row is padded.
        """
        positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
        more = {"position_ids": positions} if self._takes_positions else {}
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=DynamicCache(past),
            use_cache=True,
            **more,
        )
        return output.logits, pairs(output.past_key_values)


def pairs(cache: Any) -> Pairs:
    """Return the keys and values of transformers' cache."""
    return [(layer.keys, layer.values) for layer in cache.layers]


@torch.no_grad()
def traced(model: PreTrainedModel) -> dict[str, Any]:
    """Return the arguments of torch.onnx.export for a model on the CPU: any batch, any length, any past."""
    layers = pairs(model(input_ids=torch.zeros(1, 1, dtype=torch.long), use_cache=True).past_key_values)
    rows, before, new = 3, 5, 4  # all different and above 1, so that none is taken for a constant
    past = [tuple(part.new_zeros(rows, part.shape[1], before, part.shape[3]) for part in layer) for layer in layers]
    dynamic = torch.export.Dim.DYNAMIC
    names = [f"{layer}.{part}" for layer in range(len(layers)) for part in ("key", "value")]
    return {
        "model": WithCache(model).eval(),
        "kwargs": {
            "input_ids": torch.zeros(rows, new, dtype=torch.long),
            "attention_mask": torch.ones(rows, before + new, dtype=torch.long),
            "past": past,
        },
        "input_names": ["input_ids", "attention_mask", *(PAST + name for name in names)],
        "output_names": ["logits", *(PRESENT + name for name in names)],
        "dynamic_shapes": {
            "input_ids": {0: dynamic, 1: dynamic},
            "attention_mask": {0: dynamic, 1: dynamic},
            "past": [({0: dynamic, 2: dynamic}, {0: dynamic, 2: dynamic}) for _ in layers],
        },
    }


@dataclass(frozen=True)
class Inputs:
    """What an ONNX file takes."""

    names: tuple[str, ...]
    past: Mapping[str, tuple[int, int]]  # heads and width of each tensor of the cache; empty for a classifier

    def fed(self, batch: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Return the file's inputs for a batch on the CPU, with an empty cache if it takes one."""
        rows = next(iter(batch.values())).shape[0]
        given = {name: batch[name].numpy() for name in self.names if name not in self.past}
        empty = {name: np.zeros((rows, heads, 0, width), np.float32) for name, (heads, width) in self.past.items()}
        return given | empty


def inputs_of(file: Path) -> Inputs:
    """Return what an ONNX file takes."""
    import onnx

    given = onnx.load(file, load_external_data=False).graph.input
    sizes = {one.name: [size.dim_value for size in one.type.tensor_type.shape.dim] for one in given}
    past = {name: (size[1], size[3]) for name, size in sizes.items() if name.startswith(PAST)}
    return Inputs(tuple(sizes), past)


class Decoder(PreTrainedModel, GenerationMixin):
    """A language model without weights: a runtime computes the forward passes of transformers' `generate`."""

    def __init__(self, config: PretrainedConfig, answer: Answer, inputs: Inputs) -> None:
        config = copy.deepcopy(config)
        config._attn_implementation = "eager"  # it has no attention to choose a kernel for
        config.use_cache = True  # Trainer leaves it switched off
        super().__init__(config)
        self._answer, self._inputs = answer, inputs

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: DynamicCache | None = None,
        **_: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits of the new tokens `input_ids` and the cache with them."""
        before = 0 if past_key_values is None else past_key_values.get_seq_length()
        if attention_mask is None:
            attention_mask = input_ids.new_ones(input_ids.shape[0], before + input_ids.shape[1])
        given = self._inputs.fed({"input_ids": input_ids, "attention_mask": attention_mask})
        if past_key_values is not None and before:
            tensors = (part.contiguous().numpy() for layer in pairs(past_key_values) for part in layer)
            given |= zip(self._inputs.past, tensors, strict=True)
        logits, *present = map(torch.from_numpy, self._answer(given))
        cache = DynamicCache(list(zip(present[::2], present[1::2], strict=True)))
        return CausalLMOutputWithPast(logits=logits, past_key_values=cache)
