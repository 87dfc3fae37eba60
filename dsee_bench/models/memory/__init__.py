"""Memory of training and of inference, by formula, in bytes. No weight is loaded.

Training: the weights; AdamW's two moments and the gradient of each trained parameter (4 bytes each number); and the
activations, the tensors that a forward pass keeps for the backward. The count of activations follows Korthikanti et
al. (2022, "Reducing Activation Recomputation", Equation 1), tensor by tensor as transformers and torch keep them. Of a
batch of B rows of T tokens, in a layer of width h and feed-forward width f, for N = B T:
  each norm                        N h of its input, in float32; RMSNorm keeps its normalized input too where it trains;
                                   DeBERTa's first, written in Python, one tensor more than that
  attention, fused                 N times the features of query, key, value (for every query head) and output
  attention on a CPU with dropout  B T^2 heads three times (softmax, noise, dropped), and query, key, value; in float32
  attention, not fused             the same, of B T^2 heads one alone without dropout; one more where scores are capped
  relative positions               for each pair of content and position: a table of P rows, B P features; its product
                                   with the content, N P heads; and 8 T^2 bytes of indices
  each residual dropout            N h of noise
  activation function              N f once; gelu_new four times; of a gated layer three times
  input of a weight                N inputs where the weight trains, has an adapter or coefficients; once for weights
                                   that read the same, but under autocast each reads a copy of its own
  adapter                          N R of its middle; with dropout its input twice more
  autocast                         each linear weight that is stored in float32, again in 2 bytes
  language model                   N V of log-probabilities in float32
With gradient checkpointing a layer keeps its input alone, and one layer at a time all of that. What of this a family
has is said in its table (`Kept`).

The peak of a step lies where the activations are complete; or in the first layer's backward, when all other gradients
are there; or after it, when an embedding that is also the unembedding gets its second gradient. With accumulated parts
activations and gradients are there at once. Beside the activations are what passes: the gradients of one layer's middle
or attention, or a language model's logits. Not counted: the allocator's own overhead, CUDA's context (about 0.5 GB),
and the program. Measured on CPUs; the terms of fused attention on a GPU are by formula alone.

With FSDP a process has its part of weights, gradients and optimizer, the activations of its own rows, the weights of a
layer or two that it fetches, and the whole model beside them, since the tunings alone are shared out.

Inference: the weights, the largest set of tensors that a layer holds at once, and a decoder's keys and values.

Letters: B rows, T tokens, N = B T, R rank, V vocabulary.
"""

from dataclasses import dataclass

from dsee_bench.models.memory.held import held_in_layer
from dsee_bench.models.memory.kept import kept_by_norm, kept_in_layer, passing
from dsee_bench.models.memory.terms import Dimensions, Kept, Use
from dsee_bench.models.spec import Dtype, ModelSpec

__all__ = ["BYTES", "Dimensions", "Kept", "Memory", "Use", "inference", "stored", "training"]
BYTES: dict[Dtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Memory:
    """Bytes of one process; `peak` is what a step needs at once."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    peak: int
    gathered: int = 0  # FSDP: of the other processes' parts, while this one computes with them


def training(spec: ModelSpec, model: Dimensions, use: Use) -> Memory:
    """Return the memory of a tuning step of the model `spec`."""
    trained = spec.total if spec.tuned == "all" else spec.trainable  # masked entries have a gradient in memory, too
    weights, gradients, optimizer = stored(spec, model), _part(4 * trained, use), _part(8 * trained, use)
    gathered = _gathered(spec, model) if use.shards > 1 else 0
    if use.shards > 1:  # the whole model waits for the tuned values (training/sharded.py)
        weights += _part(weights, use)
    layers = [kept_in_layer(spec, layer, model, use) for layer in range(spec.layers)]
    first = layers[0] + passing(spec, 0, model, use)
    layers *= spec.uses
    activations = sum(layers)
    if use.checkpointing:
        activations = 4 * len(layers) * use.rows * use.tokens * model.hidden + max(layers)
    activations += _kept_outside(spec, model, use)
    # The last layer's gradients, or before them the logits beside the log-probabilities.
    last = max(passing(spec, spec.layers - 1, model, use), 4 * _logits(spec, model, use))
    if use.accumulates:
        both = activations + last + gradients
    else:
        after_first = _part(4 * spec.embeddings, use) if spec.tuned == "all" else 0
        twice = _part(4 * spec.unembedding, use) if spec.tuned == "all" and model.tied else 0
        both = max(activations + last, gradients - after_first + first, gradients + twice)
    return Memory(weights, gradients, optimizer, activations, weights + optimizer + gathered + both, gathered)


def inference(spec: ModelSpec, model: Dimensions, use: Use) -> Memory:
    """Return the memory of answering one batch; `activations` are the most that are there at once."""
    weights = stored(spec, model)
    held = max(held_in_layer(spec, layer, model, use) for layer in range(spec.layers))
    logits = (2 * 4 + 2 * use.bf16) * _logits(spec, model, use)
    activations = max(held, logits) + (_cached(spec, use) if model.caches else 0)
    if use.bf16 and spec.tuned == "all":  # autocast stores its copies of weights that train
        activations += 2 * sum(weight.size for weight in spec.weights)
    elif use.bf16 or model.dtype != "float32":  # of one weight at a time
        activations += use.size * max(weight.size for weight in spec.weights)
    return Memory(weights, 0, 0, activations, weights + activations)


def stored(spec: ModelSpec, model: Dimensions) -> int:
    """Return the bytes of all parameters, zeros too, of the positions of sparse entries, and of tables."""
    trains = spec.head + spec.adapter + spec.coefficients
    trains += {"bias": spec.biases, "norm": spec.scales + spec.offsets}.get(spec.tuned, 0)
    positions = 8 * sum(weight.num_entries for weight in spec.weights)
    return 4 * trains + BYTES[model.dtype] * (spec.total - trains) + positions + model.buffers


def _part(size: int, use: Use) -> int:
    """Return the bytes of one process where FSDP shares them out."""
    return -(-size // use.shards)


def _gathered(spec: ModelSpec, model: Dimensions) -> int:
    """Bytes that FSDP fetches from other processes: two layers, one of them ahead, and a language model's unembedding;
    or the embeddings; and the whole gradients of the largest of these before they are shared out."""
    layer = (spec.total - spec.embeddings - spec.head) // spec.layers
    fetched = BYTES[model.dtype] * max(2 * layer + spec.unembedding, spec.embeddings)
    return fetched + (4 * max(layer, spec.embeddings) if spec.tuned == "all" else 4 * (spec.adapter // spec.layers))


def _kept_outside(spec: ModelSpec, model: Dimensions, use: Use) -> int:
    """Bytes of the embeddings' norm and noise, of the last norm, of what the head reads, and of log-probabilities."""
    n, kept = use.rows * use.tokens, model.kept
    everything, writes = spec.tuned == "all", spec.unembedding > 0
    norms = kept_by_norm(spec, model) * (int(kept.norms_first) + (everything and not model.caches))
    hidden = norms + (everything and kept.dropouts > 0) + (everything or not writes)
    logits = _logits(spec, model, use) * (2 if kept.capped else 1)
    cast = 2 * spec.unembedding if use.bf16 and model.dtype == "float32" else 0
    return 4 * (hidden * n * model.hidden + logits) + cast


def _cached(spec: ModelSpec, use: Use) -> int:
    """Bytes of the keys and values that a decoder caches."""
    keys, values = (sum(w.outputs for w in spec.weights if w.site.kind == kind) for kind in ("key", "value"))
    return use.rows * use.tokens * (4 * keys + use.size * values)  # rotated keys are in float32 under autocast, too


def _logits(spec: ModelSpec, model: Dimensions, use: Use) -> int:
    """Return the logits of a language model, for all tokens of the batch."""
    return use.rows * use.tokens * model.vocabulary if spec.unembedding else 0
