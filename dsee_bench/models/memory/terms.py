"""What the formulas of memory ask of a family, of a backbone, and of how it is used."""

from dataclasses import dataclass
from typing import Literal

from dsee_bench.models.spec import Dtype, ModelSpec


@dataclass(frozen=True)
class Kept:
    """What the modules of a family keep in memory, as transformers and torch write them.

    A family states what differs from Llama's kind of layers: fused attention without dropout, norms before each part.
    """

    attention_dropout: bool = False
    fused_attention: bool = True  # torch's scaled_dot_product_attention; otherwise scores and softmax apart
    capped: bool = False  # attention's scores and a language model's logits go through tanh (Gemma 2)
    position_bias: bool = False  # a table of it, as large as the scores, that all layers add (MPNet)
    returned: bool = False  # a layer's attention weights live until those of the next are there (GPT-Neo)
    copied: bool = False  # positions rotate a part of each head, and `out` then reads a copy of attention's output
    whole: bool = False  # the value is a view of query, key and value in one, which so stay beside the rotated ones
    causal_table: bool = False  # a byte for each pair of positions, in each layer
    head_norms: bool = False  # of query and key
    norm: Literal["torch", "rms", "python"] = "torch"  # as torch's own, or as one of these is written in transformers
    norms_first: bool = True  # before attention and the feed-forward part, not after them
    parallel: bool = False  # attention and the feed-forward part read the same
    dropouts: int = 0  # of what a residual is added to
    activation: int = 1  # tensors of the feed-forward width, where it is not gated
    relu: bool = False  # the activation keeps its output, which the next weight reads, too


@dataclass(frozen=True)
class Use:
    """How a model is used: the batch of one process, and what it computes on."""

    rows: int
    tokens: int
    bf16: bool  # under autocast
    on_cpu: bool
    checkpointing: bool = False
    accumulates: bool = False  # gradients of several parts of a batch
    adapter_dropout: bool = False
    shards: int = 1  # processes that share weights, gradients and optimizer: FSDP

    @property
    def size(self) -> int:
        """Bytes of a number that a linear layer computes."""
        return 2 if self.bf16 else 4

    @property
    def pairs(self) -> int:
        """Pairs of two tokens of a row, in the batch."""
        return self.rows * self.tokens**2


@dataclass(frozen=True)
class Dimensions:
    """What of a backbone is in no spec."""

    hidden: int
    vocabulary: int
    norms: int  # in each layer
    kept: Kept
    fused_gate: bool  # the two weights into a gated feed-forward part are one in the checkpoint
    buffers: int  # bytes of tables that are no parameters
    caches: bool  # keys and values, when it answers
    dtype: Dtype  # of the weights that do not train
    tied: bool  # a language model's unembedding is its embedding


def widths(spec: ModelSpec, layer: int) -> tuple[int, bool]:
    """Return the features of a layer's feed-forward part, and whether it is gated."""
    into = [weight.outputs for weight in spec.weights if weight.site.kind == "ffn_in" and weight.site.layer == layer]
    return max(into), len(into) > 1


def attention_features(spec: ModelSpec, layer: int, use: Use) -> int:
    """Return the entries of a layer's query, for all tokens of the batch."""
    return use.rows * use.tokens * spec.attention[layer] * spec.head_size


def keeps_squares(model: Dimensions, use: Use) -> bool:
    """Whether attention keeps a number for every pair of tokens and head."""
    return not model.kept.fused_attention or (model.kept.attention_dropout and use.on_cpu)
