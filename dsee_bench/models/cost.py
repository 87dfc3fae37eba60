"""What a model costs, by formula; each count says what it counts.

FLOPs of one forward pass over T tokens, a multiply and an add counted as two (as torch's FlopCounterMode does):
  a weight with N non-zero entries    2 T N        (the pooler: 2 N, it sees the first token alone)
  attention of a layer with H heads   4 T^2 H D    (scores and the weighted sum; D features a head)
  DeBERTa's attention, P position rows  2 T P H D more for each pair of content and position; a weight that projects
    positions has P inputs more than, or (kind `position`) instead of, T
                                                   (He et al. 2021, equation 4; as transformers computes it)
  an adapter of rank R with K entries  2 T (R (O + I) + K)
A layer whose weights several layers share (ALBERT) counts once for each of them.
Not counted: embedding look-ups, LayerNorm, activations, softmax, biases, and the task head, which every method has.
An adapter is counted merged into its weight or beside it, whichever is cheaper: a dense weight takes it in for nothing,
a masked one keeps it apart, since merging would fill its zeros.
"""

from dataclasses import dataclass

from dsee_bench.models.spec import LinearSpec, ModelSpec


@dataclass(frozen=True)
class Flops:
    tokens: int
    dense: int  # the untouched model
    final: int  # after the stages

    @property
    def saved(self) -> float:
        """Share of the dense count that is saved; negative where the adapter costs more than the zeros save."""
        return 1 - self.final / self.dense


def weight_flops(weight: LinearSpec, tokens: int) -> int:
    """FLOPs of one weight with its adapter, merged or beside it, over `tokens` tokens."""
    rank = weight.rank + weight.frozen_rank
    beside = weight.nnz + rank * (weight.outputs + weight.inputs) + weight.num_entries
    touched = rank > 0 or weight.num_entries > 0
    merged = (weight.nnz if weight.merges else weight.size) if touched else weight.nnz
    return 2 * tokens * min(beside, merged)


def forward_flops(spec: ModelSpec, tokens: int) -> int:
    """FLOPs of one forward pass of one sequence of `tokens` tokens; see the formulas at the top."""
    positions = spec.relative.rows(tokens) if spec.relative else 0
    count = sum(weight_flops(weight, _rows(weight, spec, tokens)) for weight in spec.weights)
    pairs = spec.relative.pairs if spec.relative else 0
    per_feature = 4 * tokens * tokens + 2 * pairs * tokens * positions
    count += spec.uses * sum(per_feature * heads * spec.head_size for heads in spec.attention)
    return count + 2 * tokens * spec.unembedding


def _rows(weight: LinearSpec, spec: ModelSpec, tokens: int) -> int:
    """How many vectors a weight multiplies for a sequence of `tokens` tokens."""
    if weight.site.kind == "pooler":
        return 1
    if spec.relative is None:
        return tokens if weight.site.layer is None else tokens * spec.uses
    positions = spec.relative.rows(tokens)
    if weight.site.kind == "position":
        return positions
    return tokens + positions if spec.relative.shared and weight.site.kind in ("query", "key") else tokens


def position_bits(spec: ModelSpec) -> int:
    """Bits to store where the sparse entries sit: K positions of ceil(log2(O I)) bits for each weight."""
    return sum(weight.num_entries * (weight.size - 1).bit_length() for weight in spec.weights)


def sparsity(spec: ModelSpec) -> float:
    """Share of zeroed entries in the pretrained weights of all sites, removed parts not counted."""
    return 1 - sum(w.nnz for w in spec.weights) / sum(w.size for w in spec.weights)
