"""Memory of training and of inference, by formula, in bytes. No weight is loaded.

Training: the weights; AdamW's two moments and the gradient of each trained parameter (4 bytes each number); and the
activations, the tensors that a forward pass keeps for the backward. The count of activations follows Korthikanti et
al. (2022, "Reducing Activation Recomputation", Equation 1), tensor by tensor as transformers and torch keep them. Of a
batch of B rows of T tokens, in a layer of width h and feed-forward width f, for N = B T:
  each norm                        N h of its input, in float32; RMSNorm keeps its normalized input too where it trains
  attention, fused                 N times the features of query, key, value (for every query head) and output
  attention on a CPU with dropout  B T^2 heads three times (softmax, noise, dropped), and query, key, value; in float32
  attention, not fused             the same, of B T^2 heads one alone without dropout; positions where it has some
  each residual dropout            N h of noise
  activation function              N f once; gelu_new four times; of a gated layer three times
  input of a weight                N inputs where the weight trains, has an adapter or coefficients; once for weights
                                   that read the same, but under autocast each reads a copy of its own
  adapter                          N R of its middle; with dropout its input twice more
  autocast                         each linear weight that is stored in float32, again in 2 bytes
  language model                   N V of log-probabilities in float32
With gradient checkpointing a layer keeps its input alone, and one layer at a time all of that.

The peak of a step lies where the activations are complete or where the gradients are; between the two the one shrinks
as the other grows. With accumulated parts both are there at once. Beside the activations are what passes: the gradients
of one layer's middle, or a language model's logits. Not counted: the allocator's own overhead, CUDA's context (about
0.5 GB), and the program. Measured on CPUs; the terms of fused attention on a GPU are by formula alone.

Inference: the weights, the largest set of tensors that a layer holds at once, and a decoder's keys and values.

Letters: B rows, T tokens, N = B T, R rank, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dsee_bench.models.spec import Dtype, LinearSpec, ModelSpec

BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}
READ_ALIKE = (("query", "key", "value"), ("out",), ("ffn_in",), ("ffn_out",))  # kinds of one input


@dataclass(frozen=True)
class Kept:
    """What a layer of a family keeps for the backward beside norms and attention."""

    attention_dropout: bool = False
    fused_attention: bool = True  # torch's scaled_dot_product_attention
    head_norms: bool = False  # of query and key
    dropouts: int = 0  # of what a residual is added to
    more: int = 0  # further tensors of the layer's width; -1 where two norms read the same
    activation: int = 1  # tensors of the feed-forward width, where it is not gated


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

    @property
    def size(self) -> int:
        """Bytes of a number that a linear layer computes."""
        return 2 if self.bf16 else 4


@dataclass(frozen=True)
class Dimensions:
    """What of a backbone is in no spec."""

    hidden: int
    norms: int  # in each layer
    rms: bool
    kept: Kept
    caches: bool  # keys and values, when it answers
    dtype: Dtype  # of the weights that do not train


@dataclass(frozen=True)
class Memory:
    """Bytes of one process; `peak` is what a step needs at once."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int


def training(spec: ModelSpec, model: Dimensions, use: Use) -> Memory:
    """Return the memory of a tuning step of the model `spec`."""
    trained = spec.total if spec.tuned == "all" else spec.trainable  # masked entries have a gradient in memory, too
    weights, gradients, optimizer = stored(spec, model.dtype), 4 * trained, 8 * trained
    layers = [kept_in_layer(spec, layer, model, use) for layer in range(spec.layers)] * spec.uses
    activations = sum(layers)
    if use.checkpointing:
        activations = 4 * len(layers) * use.rows * use.tokens * model.hidden + max(layers)
    activations += _kept_outside(spec, model, use)
    # The last layer's gradients, or before them the logits beside the log-probabilities.
    passing = 4 * use.rows * use.tokens * max(2 * _widest(spec), _vocabulary(spec, model))
    both = activations + passing + gradients if use.accumulates else max(activations + passing, gradients)
    return Memory(weights, gradients, optimizer, activations, weights + optimizer + both)


def inference(spec: ModelSpec, model: Dimensions, use: Use) -> Memory:
    """Return the memory of answering one batch; `activations` are the most that are there at once."""
    weights = stored(spec, model.dtype)
    held = max(held_in_layer(spec, layer, model, use) for layer in range(spec.layers))
    logits = (2 * 4 + 2 * use.bf16) * use.rows * use.tokens * _vocabulary(spec, model)
    activations = max(held, logits) + (_cached(spec, use) if model.caches else 0)
    if use.bf16 and spec.tuned == "all":  # autocast stores its copies of weights that train
        activations += 2 * sum(weight.size for weight in spec.weights)
    elif use.bf16 or model.dtype != "float32":  # of one weight at a time
        activations += use.size * max(weight.size for weight in spec.weights)
    return Memory(weights, 0, 0, activations, weights + activations)


def stored(spec: ModelSpec, dtype: Dtype) -> int:
    """Return the bytes of all parameters, zeros too, and of the positions of sparse entries."""
    trains = spec.head + spec.adapter + spec.coefficients
    trains += {"bias": spec.biases, "norm": spec.scales + spec.offsets}.get(spec.tuned, 0)
    positions = 8 * sum(weight.num_entries for weight in spec.weights)
    return 4 * trains + BYTES[dtype] * (spec.total - trains) + positions


def kept_in_layer(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Return the bytes that one layer keeps for the backward."""
    n, weights = use.rows * use.tokens, [weight for weight in spec.weights if weight.site.layer == layer]
    norms = model.norms * (2 if model.rms and spec.tuned in ("all", "norm") else 1)
    into = [weight for weight in weights if weight.site.kind == "ffn_in"]
    activation = (3 if len(into) > 1 else model.kept.activation) * max(weight.outputs for weight in into)
    return (
        4 * n * norms * model.hidden
        + use.size * n * ((model.kept.dropouts + model.kept.more) * model.hidden + activation)
        + _kept_by_attention(spec, layer, model, use)
        + sum(_kept_by_linear([w for w in weights if w.site.kind in kinds], spec, model, use) for kinds in READ_ALIKE)
    )


def _kept_by_attention(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    heads, square = spec.attention[layer], use.rows * use.tokens**2
    features = use.rows * use.tokens * heads * spec.head_size
    copies = 2 if spec.tuned in ("all", "norm") else 1
    normed = use.size * copies * (features + features // spec.queries_per_key) if model.kept.head_norms else 0
    if not _squares(model, use):
        return normed + use.size * (4 * features + (square if use.on_cpu else 0))
    positions = 2 * use.rows * use.tokens * heads * spec.relative.rows(use.tokens) if spec.relative else 0
    if model.kept.fused_attention:  # torch's plain form of it, in float32
        return normed + 4 * (3 * heads * square + 3 * features)
    size = 4 if spec.relative else use.size  # DeBERTa's is always in float32 (autocast.py)
    squares = (8 + size if model.kept.attention_dropout else 4) * heads * square
    return normed + squares + size * (3 * features + positions)


def _squares(model: Dimensions, use: Use) -> bool:
    """Whether attention keeps a number for every pair of tokens."""
    return not model.kept.fused_attention or (model.kept.attention_dropout and use.on_cpu)


def _kept_by_linear(weights: Sequence[LinearSpec], spec: ModelSpec, model: Dimensions, use: Use) -> int:
    """Bytes of the inputs of weights that read the same, of their adapters' middles, and of autocast's copies."""
    n, reading = use.rows * use.tokens, [w for w in weights if spec.tuned == "all" or w.adapter or w.coefficients]
    adapted = [w for w in weights if w.adapter]
    dropped = [w for w in adapted if w.rank and use.adapter_dropout]
    out_of_norm = bool(weights) and weights[0].site.kind not in ("out", "ffn_out")
    if use.bf16 and out_of_norm:  # it is in float32, and each weight reads a copy in bfloat16
        inputs = sum(w.inputs for w in reading)
    elif out_of_norm or (weights and weights[0].site.kind == "ffn_out") or _squares(model, use):
        inputs = max((w.inputs for w in reading), default=0)
    else:
        inputs = 0  # fused attention keeps its output itself
    if reading and all(w in dropped and not w.num_entries for w in reading):
        inputs = 0  # what dropout left of it is read instead
    inputs += sum(2 * w.inputs for w in dropped) + sum(w.inputs for w in weights if w.coefficients)
    middles = sum(w.rank or w.outputs for w in adapted)
    filled = sum(w.size for w in adapted if w.rank and w.merges and w.nnz < w.size)  # a masked adapter's whole delta
    casts = sum(w.rank * (w.outputs + w.inputs) for w in weights)
    casts += sum(w.size for w in weights) if model.dtype == "float32" else 0
    return use.size * (n * (inputs + middles) + filled) + (2 * casts if use.bf16 else 0)


def _kept_outside(spec: ModelSpec, model: Dimensions, use: Use) -> int:
    """Bytes of the embeddings' noise and norm, of the last norm, and of a language model's log-probabilities."""
    n = use.rows * use.tokens
    hidden = (2 + bool(model.kept.dropouts) if spec.tuned == "all" else 1) * n * model.hidden
    cast = 2 * spec.unembedding if use.bf16 and model.dtype == "float32" else 0
    return 4 * (hidden + n * _vocabulary(spec, model)) + cast


def held_in_layer(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Return the bytes that a layer holds at once where no backward follows: in its attention, or in its middle."""
    n, weights = use.rows * use.tokens, [weight for weight in spec.weights if weight.site.layer == layer]
    into = [weight for weight in weights if weight.site.kind == "ffn_in"]
    middle = (3 if len(into) > 1 else max(2, model.kept.activation)) * max(weight.outputs for weight in into)
    heads = spec.attention[layer]
    square = use.rows * use.tokens**2 * (1 if model.kept.fused_attention else 3 * heads)
    attention = use.size * (4 * n * heads * spec.head_size + square)
    wide = 4 if model.rms and use.bf16 else 2  # in float32: the residual, the layer's input, what RMSNorm makes of it
    return wide * 4 * n * model.hidden + max(attention, use.size * n * middle)


def _widest(spec: ModelSpec) -> int:
    """Return the features of the widest feed-forward part."""
    return max(weight.outputs for weight in spec.weights if weight.site.kind == "ffn_in")


def _cached(spec: ModelSpec, use: Use) -> int:
    """Bytes of the keys and values that a decoder caches."""
    keys, values = (sum(w.outputs for w in spec.weights if w.site.kind == kind) for kind in ("key", "value"))
    return use.rows * use.tokens * (4 * keys + use.size * values)  # rotated keys are in float32 under autocast, too


def _vocabulary(spec: ModelSpec, model: Dimensions) -> int:
    return spec.unembedding // model.hidden
