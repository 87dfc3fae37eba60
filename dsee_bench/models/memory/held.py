"""Bytes that a layer holds at once where no backward follows. The formulas stand in `dsee_bench.models.memory`."""

from dsee_bench.models.memory.terms import Dimensions, Use, attention_features, widths
from dsee_bench.models.spec import ModelSpec


def held_in_layer(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Return the most bytes that a layer holds at once: in its attention, or in its feed-forward part."""
    kept, (width, gated) = model.kept, widths(spec, layer)
    # In float32: the embeddings, the layer's input, the residual, and what a norm makes of it.
    stream = 4 * (4 if kept.norms_first else 3) * use.rows * use.tokens * model.hidden
    middle = (4 if model.fused_gate else 3) if gated else max(2, kept.activation)
    squares = use.pairs * spec.attention[layer]
    weights = 0 if kept.fused_attention else (1 + kept.returned + kept.position_bias) * squares  # of attention
    masks = 0 if kept.fused_attention else 8 * use.pairs
    in_middle = use.size * (middle * use.rows * use.tokens * width + weights)
    return stream + masks + max(in_middle, _held_by_attention(spec, layer, model, use))


def _held_by_attention(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    kept, features = model.kept, attention_features(spec, layer, use)
    squares = use.pairs * spec.attention[layer]
    if spec.relative:
        return _held_by_positions(spec, layer, model, use)
    if kept.fused_attention:
        return use.size * (4 * features + use.pairs)
    # Scores and softmax: adding the mask, which is in float32, makes the former so.
    return use.size * 4 * features + 4 * (2 + kept.returned + 2 * kept.position_bias) * squares


def _held_by_positions(spec: ModelSpec, layer: int, model: Dimensions, use: Use) -> int:
    """Bytes of DeBERTa's attention, in float32: scores of content and of each pair with positions, their sum, and the
    product with a table that one pair's scores are taken from."""
    relative = spec.relative
    assert relative is not None
    squares, rows = use.pairs * spec.attention[layer], relative.rows(use.tokens)
    features = attention_features(spec, layer, use)
    product = use.rows * use.tokens * spec.attention[layer] * rows
    table = rows * spec.attention[layer] * spec.head_size * (use.rows if relative.shared else 1)
    content = (
        3 if relative.shared else 5
    ) * features  # version 1: with biases and scale, beside what they are added to
    scores = (2 + relative.pairs) * squares + max(squares, product)
    indices = (1 + relative.pairs) * 2 * use.tokens**2
    return 4 * (content + scores + relative.pairs * table + indices)
