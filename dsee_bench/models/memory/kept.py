"""Bytes that a layer keeps for the backward, and those that pass while its backward runs. The formulas stand in
`dsee_bench.models.memory`.

Letters: B rows, T tokens, N = B T, R rank.
"""

import dataclasses
from collections.abc import Sequence

from dsee_bench.models.memory.terms import Dimensions, Use, attention_features, keeps_squares, widths
from dsee_bench.models.spec import FFN, Kind, LinearSpec, ModelSpec

READ_ALIKE: tuple[tuple[Kind, ...], ...] = (("query", "key", "value"), ("out",), ("ffn_in",), ("ffn_out",))
ONE_NORM: tuple[tuple[Kind, ...], ...] = (("query", "key", "value", "ffn_in"), ("out",), ("ffn_out",))


def kept_in_layer(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Return the bytes that one layer keeps for the backward."""
    n, kept = use.rows * use.tokens, model.kept
    weights = [weight for weight in spec.weights if weight.site.layer == layer]
    groups = [[w for w in weights if w.site.kind in kinds] for kinds in (ONE_NORM if model.norms == 1 else READ_ALIKE)]
    return (
        n * model.hidden * (4 * (1 if kept.parallel else model.norms) * kept_by_norm(spec, model))
        + use.size * n * (kept.dropouts * model.hidden + _kept_by_activation(spec, layer, model))
        + _kept_by_attention(spec, layer, model, use)
        + (_kept_by_positions(spec, layer, model, use) if spec.relative else 0)
        + sum(_kept_by_linear(group, spec, model, use) for group in groups)
    )


def kept_by_norm(spec: ModelSpec, model: Dimensions) -> int:
    """Return the tensors of the layer's width, in float32, that a norm keeps."""
    trains = spec.tuned in ("all", "norm")
    return {"torch": 1, "rms": 1 + trains, "python": 2 + trains}[model.kept.norm]


def _kept_by_activation(spec: ModelSpec, layer: int, model: Dimensions) -> int:
    """Return the features that activation function and gate keep; a gate keeps both sides and the activation."""
    features, gated = widths(spec, layer)
    parts = [weight for weight in spec.weights if weight.site.layer == layer and weight.site.kind in FFN]
    if model.kept.parallel and layer == 0 and spec.tuned != "all" and not any(map(_trains, parts)):
        return 0  # no trained weight lies before
    return features * (3 if gated else model.kept.activation)


def _trains(weight: LinearSpec) -> bool:
    return bool(weight.adapter or weight.coefficients)


def _kept_by_attention(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    features, squares = attention_features(spec, layer, use), use.pairs * spec.attention[layer]
    kept = model.kept
    copies = 2 if spec.tuned in ("all", "norm") else 1
    normed = use.size * copies * (features + features // spec.queries_per_key) if kept.head_norms else 0
    if not keeps_squares(model, use):
        return normed + use.size * ((6 if kept.whole else 4) * features + (use.pairs if use.on_cpu else 0))
    if kept.fused_attention:  # torch's plain form of it, in float32
        return normed + 4 * (3 * squares + 3 * features)
    size = 4 if spec.relative else use.size  # DeBERTa's is always in float32 (autocast.py)
    of_a_pair = (8 + size if kept.attention_dropout else 4) + (size if kept.capped else 0)
    return normed + of_a_pair * squares + size * 3 * features


def _kept_by_positions(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Bytes of DeBERTa's relative positions: for each pair of content and position the projected table, once for each
    row of the batch; its product with the content; and which of its rows belongs to two tokens, as 8-byte integers."""
    relative = spec.relative
    assert relative is not None
    rows, features = relative.rows(use.tokens), attention_features(spec, layer, use)
    tables = relative.pairs * use.rows * rows * spec.attention[layer] * spec.head_size
    products = relative.pairs * use.rows * use.tokens * spec.attention[layer] * rows
    indices = relative.pairs * 2 * use.tokens**2
    kinds: tuple[Kind, ...] = ("query", "key") if relative.shared else ("position",)
    reading = [weight for weight in spec.weights if weight.site.layer == layer and weight.site.kind in kinds]
    everything = spec.tuned == "all"
    trains = everything or any(map(_trains, reading))
    # The content that a trained table is multiplied with: scaled otherwise, or a copy of its own for each pair.
    content = (1 if relative.shared else relative.pairs) * features if trains else 0
    table = 2 * relative.span * model.hidden * (trains + everything)  # what the projection reads, and dropout's noise
    return 4 * (tables + products + indices + content + table)


def _kept_by_linear(weights: Sequence[LinearSpec], spec: ModelSpec, model: Dimensions, use: Use) -> int:
    """Bytes of the inputs of weights that read the same, of their adapters' middles, and of autocast's copies."""
    if spec.relative and weights and weights[0].site.kind == "query":
        use = dataclasses.replace(use, bf16=False)
    n, reading = use.rows * use.tokens, [w for w in weights if spec.tuned == "all" or _trains(w)]
    adapted = [w for w in weights if w.adapter]
    dropped = [w for w in adapted if w.rank and use.adapter_dropout]
    kind = weights[0].site.kind if weights else None
    out_of_norm = kind is not None and kind not in ("out", "ffn_out")
    if use.bf16 and out_of_norm:  # it is in float32, and each weight reads a copy in bfloat16
        inputs = sum(w.inputs for w in reading)
    elif (kind == "ffn_out" and model.kept.relu) or (
        kind == "out" and not model.kept.copied and not keeps_squares(model, use)
    ):
        inputs = 0  # the activation, or fused attention, keeps its output itself
    else:
        inputs = max((w.inputs for w in reading), default=0)
    if reading and all(w in dropped and not w.num_entries for w in reading):
        inputs = 0  # what dropout left of it is read instead
    inputs += sum(2 * w.inputs for w in dropped) + sum(w.inputs for w in weights if w.coefficients)
    middles = sum(w.rank or w.outputs for w in adapted)
    filled = sum(w.size for w in adapted if w.rank and w.merges and w.nnz < w.size)  # a masked adapter's whole delta
    casts = sum(w.rank * (w.outputs + w.inputs) for w in weights)
    casts += sum(w.size for w in weights) if model.dtype == "float32" else 0
    return use.size * (n * (inputs + middles) + filled) + (2 * casts if use.bf16 else 0)


def passing(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Return the bytes of the gradients that are there while a layer's backward runs, beyond what the layer keeps.

    They are those of the feed-forward part, or those of attention, when what that part kept is gone.
    """
    n, (features, _) = use.rows * use.tokens, widths(spec, layer)
    middle = 4 * n * 2 * features
    if not keeps_squares(model, use):
        return middle
    squares = use.pairs * spec.attention[layer]
    in_attention = 2 * squares
    if spec.relative:
        in_attention += squares + use.rows * use.tokens * spec.attention[layer] * spec.relative.rows(use.tokens)
    gone = use.size * n * _kept_by_activation(spec, layer, model)
    return max(middle, 4 * in_attention - gone)
