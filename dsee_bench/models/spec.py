"""A model as numbers, so that a plan needs no weights.

A site is one weight that a stage may touch, a target module in PEFT's words. It is always seen as (outputs, inputs):
BERT's query, or the query third of GPT-2's `c_attn`, which is split when it is loaded (fused.py). A ModelSpec is the
whole model after some stages: the shape of each weight, its non-zero entries, and its adapter. Stages map specs to
specs; `cost.py` reads them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["query", "key", "value", "out", "ffn_in", "ffn_out", "pooler", "position", "projection"]
FFN: tuple[Kind, ...] = ("ffn_in", "ffn_out")
Tuned = Literal["nothing", "all", "adapter", "bias", "norm"]
Dtype = Literal["float32", "bfloat16", "float16"]  # of weights in memory and in files


@dataclass(frozen=True)
class Site:
    """One linear weight of the pretrained model, which a stage may touch.

    `path` is the module's name in the transformers model; `transposed` says that the module stores (inputs, outputs),
    as transformers' Conv1D does.
    """

    path: str
    kind: Kind
    layer: int | None  # None outside the layers (pooler, projection of the embeddings)
    transposed: bool = False
    bias: str | None = None  # the parameter that holds the bias, where it is not the module's own


@dataclass(frozen=True)
class LinearSpec:
    """The weight of a site after some stages: O outputs, I inputs, counts in entries."""

    site: Site
    outputs: int
    inputs: int
    nnz: int  # non-zero entries of W
    bias: int  # 0 or O
    rank: int = 0  # R of the low-rank adapter, 0 where there is none
    num_entries: int = 0  # K, trainable entries of the sparse part
    extra: int = 0  # trainable parameters of an adapter that is neither (IA3's vectors, say)
    frozen_rank: int = 0  # rank of an adapter whose two factors do not train (VeRA's)
    coefficients: int = 0  # trained factors on its inputs: one a head or a neuron (stages/coefficients.py)
    adapter_type: str | None = None  # DSEE, or PEFT's name of the method; None where there is no adapter
    merges: bool = True  # merging the adapter into W leaves W's zeros as they are

    @property
    def size(self) -> int:
        return self.outputs * self.inputs

    @property
    def adapter(self) -> int:
        """Trainable parameters of the adapter on this weight: R (O + I) + K, and what else the method has."""
        return self.rank * (self.outputs + self.inputs) + self.num_entries + self.extra


def dense(site: Site, outputs: int, inputs: int, *, bias: bool = True) -> LinearSpec:
    """Return the spec of an untouched weight."""
    return LinearSpec(site, outputs, inputs, nnz=outputs * inputs, bias=outputs if bias else 0)


@dataclass(frozen=True)
class Relative:
    """DeBERTa's attention from content to position and back (He et al. 2021): each head also multiplies the queries
    with a table of projected positions, and the keys with another."""

    span: int  # rows of the table on either side of zero
    grows: bool  # a sequence of T tokens uses T rows on either side, at most `span`; otherwise always all
    shared: bool  # positions go through the query and key weights; otherwise through weights of kind `position`
    pairs: int = 2  # of content to position and position to content, those that are computed

    def rows(self, tokens: int) -> int:
        """Return the rows of the table that a sequence of this length multiplies with."""
        return 2 * (min(tokens, self.span) if self.grows else self.span)


@dataclass(frozen=True)
class ModelSpec:
    """A model after some stages. Counts are parameters."""

    weights: tuple[LinearSpec, ...]
    layers: int
    embeddings: int  # word, position and type tables; an unembedding that is not tied
    scales: int  # of all norms
    offsets: int  # of all norms; RMSNorm has none
    head: int  # the task head
    head_size: int  # features of one attention head
    attention: tuple[int, ...]  # heads in each layer
    uses: int = 1  # how often a sequence goes through each layer; more than once where layers share their weights
    # MPNet: the columns of the shared table of position biases that each layer uses, once heads are removed. They are
    # known from the run alone.
    head_columns: tuple[tuple[int, ...], ...] = field(default=(), compare=False)
    queries_per_key: int = 1  # query heads that share one key and value head
    relative: Relative | None = None
    unembedding: int = 0  # vocabulary x hidden of a language-model head: two FLOPs each a token
    unembedding_bias: int = 0
    head_modules: tuple[str, ...] = ()  # of the head, though they lie in what transformers calls the pretrained part
    tuned: Tuned = "nothing"  # what the last tuning stage trains, besides the head

    def pick(self, kinds: Sequence[Kind]) -> tuple[Site, ...]:
        """Return the sites of these kinds, in model order; ValueError if there is none."""
        sites = tuple(weight.site for weight in self.weights if weight.site.kind in kinds)
        if not sites:
            has = sorted({weight.site.kind for weight in self.weights})
            raise ValueError(
                f"no site of kind {', '.join(kinds) or '(none given)'}; this backbone has {', '.join(has)}"
            )
        return sites

    def change(self, kinds: Sequence[Kind], how: Callable[[LinearSpec], LinearSpec]) -> "ModelSpec":
        """Return the spec with `how` applied to each weight of these kinds."""
        chosen = set(self.pick(kinds))
        return replace(self, weights=tuple(how(w) if w.site in chosen else w for w in self.weights))

    @property
    def adapter(self) -> int:
        """Parameters of all adapters: the paper's convention for "trainable", without the task head."""
        return sum(weight.adapter for weight in self.weights)

    @property
    def coefficients(self) -> int:
        """Trained factors on heads and neurons; removing heads or neurons folds them into the weights."""
        return sum(weight.coefficients for weight in self.weights)

    @property
    def biases(self) -> int:
        return sum(weight.bias for weight in self.weights) + self.offsets + self.unembedding_bias

    @property
    def pretrained(self) -> int:
        """Parameters of the pretrained model, without the task head."""
        return self.embeddings + self.scales + self.biases + sum(weight.size for weight in self.weights)

    @property
    def total(self) -> int:
        return self.pretrained + self.head + self.adapter + self.coefficients

    @property
    def nnz(self) -> int:
        """Parameters that no mask sets to zero."""
        return self.total - sum(weight.size - weight.nnz for weight in self.weights)

    @property
    def trainable(self) -> int:
        """Parameters with a gradient in the last tuning stage; masked entries of a fully tuned weight have none."""
        backbone = {
            "nothing": 0,
            "adapter": 0,
            "all": self.nnz - self.head - self.adapter - self.coefficients,
            "bias": self.biases,
            "norm": self.scales + self.offsets,
        }[self.tuned]
        return backbone + self.adapter + self.head + self.coefficients
