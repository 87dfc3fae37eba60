"""A checkpoint as settings: where its weights are, and the numbers of its architecture.

All families share these numbers. A family (models/families/) is a class with a table: the paths of the linear weights
in transformers' modules, and what its configuration, norms, embeddings and task head have of their own. The numbers
are stated, so that a plan needs neither weights nor network; `load` compares them with the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dsee_bench.config.limits import Count, CountOrZero
from dsee_bench.models.load import Loaded, load_classifier, load_lm
from dsee_bench.models.memory import Dimensions, Kept
from dsee_bench.models.spec import FFN, Dtype, Kind, LinearSpec, ModelSpec, Relative, Site, dense

NAMES = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
}  # number -> its key in config.json


@dataclass(frozen=True)
class Backbone:
    """One checkpoint of a family; `model_type` is transformers' name of it."""

    # The family's table.
    model_types: ClassVar[tuple[str, ...]] = ()
    layer: ClassVar[str]  # path of a layer in the sequence classifier
    paths: ClassVar[Mapping[Kind, str]]  # of the linear weights in a layer; a space between two
    names: ClassVar[Mapping[str, str]] = NAMES
    fixed: ClassVar[Mapping[str, object]] = {}  # the values of config.json that the table holds for
    usual: ClassVar[Mapping[str, object]] = {}  # values of config.json that the table follows, as most checkpoints have
    shared_layers: ClassVar[bool] = False  # all layers use the weights of one
    fused: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # end of a module's path -> the parts it is split into on load
    by_head: ClassVar[bool] = False  # a fused weight has its rows head by head, each [query, key, value]
    transposed: ClassVar[frozenset[Kind]] = frozenset()  # stored (inputs, outputs)
    bias_at: ClassVar[Mapping[str, str]] = {}  # path -> its bias, where it lies outside the module
    generates: ClassVar[bool] = False  # it writes text, token by token
    pooler: ClassVar[str | None] = None  # path of a pretrained dense layer that reads the first token
    position_table: ClassVar[bool] = True  # it has an embedding for each position
    first_position: ClassVar[int] = 0  # rows of that table that no token uses
    layer_norms: ClassVar[int] = 2  # in each layer; one more lies outside the layers
    norm_bias: ClassVar[bool] = True
    unembedding_bias: ClassVar[bool] = False
    kept: ClassVar[Kept] = Kept()  # for the backward

    name: str
    model_type: str
    hub: str | None  # repository on the hub
    revision: str | None  # its pinned commit
    package: str | None  # Python package with a MODEL_DIR or a GGUF file, for weights without a network
    path: str | None  # the user's own folder; goes before all others
    random: bool  # random weights, for tests
    layers: Count
    hidden: Count
    heads: Count
    ffn: Count
    vocabulary: Count
    positions: Count
    types: CountOrZero = 0  # token types
    key_heads: Count | None = None  # of keys and values; None: as many as heads
    head_size: Count | None = None  # features of a head; None: hidden / heads
    embedding: Count | None = None  # features of an embedding; None: hidden
    buckets: Count | None = None  # of relative positions, on either side (DeBERTa); None: one for each distance
    tied: bool = True  # a language model's unembedding is its embedding
    new_pooler: bool | None = None  # nobody trained the pooler, so it is part of the task head
    settings: Mapping[str, bool | str] | None = None  # of config.json, where they are not the usual ones
    dtype: Dtype | None = None  # of the weights that do not train, in memory; None: float32

    def __post_init__(self) -> None:
        if self.model_type not in self.model_types:
            raise ValueError(f"model_type must be {' or '.join(self.model_types)}, got {self.model_type}")
        if self.head_size is None and self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} must be a multiple of heads {self.heads}")
        if self.heads % (self.key_heads or self.heads):
            raise ValueError(f"heads {self.heads} must be a multiple of key_heads {self.key_heads}")
        for name in ("types", "key_heads", "head_size", "embedding", "buckets"):
            if getattr(self, name) and name not in self.names:
                raise ValueError(f"{name} is no number of {self.model_type}; leave it out")
        if self.new_pooler and self.pooler is None:
            raise ValueError(f"new_pooler=true is for a pooler in the checkpoint, and {self.model_type} has none")
        odd = sorted({*(self.settings or {})} - {*self.usual})
        if odd:
            has = f"it has {', '.join(sorted(self.usual))}" if self.usual else "it has none"
            raise ValueError(f"settings.{odd[0]} is no setting of {self.model_type} that may vary; {has}")

    @classmethod
    def numbers(cls, config: Any) -> dict[str, Any]:
        """Return the numbers that a transformers configuration of the family has."""
        found: dict[str, Any] = {name: getattr(config, key, None) for name, key in cls.names.items()}
        if found.get("ffn") is None:
            found["ffn"] = 4 * found["hidden"]  # as GPT-2 and GPT-Neo take it
        found["settings"] = cls.unusual(config) or None
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def unusual(cls, config: Any) -> dict[str, Any]:
        """Return the settings of a transformers configuration that are not the usual ones."""
        found = {**cls.usual, **cls.normalized(config.to_dict())}
        return {key: value for key, value in found.items() if key in cls.usual and value != cls.usual[key]}

    @classmethod
    def normalized(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return config.json's content with one spelling for each meaning."""
        return dict(content)

    def setting(self, key: str) -> Any:
        """Return the value of one of the `usual` settings; None for another key."""
        return {**self.usual, **(self.settings or {})}.get(key)

    @property
    def head_features(self) -> int:
        return self.head_size or self.hidden // self.heads

    @property
    def longest(self) -> int | None:
        """Tokens of the longest input; None where no table of positions ends."""
        return self.positions - self.first_position if self.position_table else None

    @property
    def features(self) -> int:
        """Features of an embedding, and of what a language model's unembedding reads."""
        return self.embedding or self.hidden

    @property
    def embeddings(self) -> int:
        """Parameters before the first layer, in entries, without norms."""
        return (self.vocabulary + self.types + (self.positions if self.position_table else 0)) * self.features

    @property
    def norms(self) -> int:
        """Scales of all norms, in entries."""
        return self.features + self.layer_norms * self.own_layers * self.hidden

    @property
    def head_modules(self) -> tuple[str, ...]:
        """Modules of the task head that lie in what transformers calls the pretrained part."""
        return (self.pooler.removesuffix(".dense"),) if self.pooler and self.new_pooler else ()

    @property
    def own_layers(self) -> int:
        """Layers with weights of their own."""
        return 1 if self.shared_layers else self.layers

    @property
    def relative(self) -> Relative | None:
        return None

    def head(self, labels: int) -> int:
        """Parameters of the task head: a decoder's reads the last token; an encoder's has a dense layer before, its own
        or a new pooler."""
        if self.pooler and not self.new_pooler:
            return labels * (self.hidden + 1)
        return labels * self.features if self.generates else (self.hidden + labels) * (self.hidden + 1)

    def has_bias(self, kind: Kind, path: str) -> bool:
        """Whether the weight at this path of a layer has a bias."""
        return True

    def shape(self, kind: Kind) -> tuple[int, int]:
        """Outputs and inputs of a weight of this kind."""
        queries = self.heads * self.head_features
        if kind in ("key", "value"):
            return (self.key_heads or self.heads) * self.head_features, self.hidden
        if kind == "out":
            return self.hidden, queries
        if kind in FFN:
            return (self.ffn, self.hidden) if kind == "ffn_in" else (self.hidden, self.ffn)
        return queries, self.hidden

    def weights(self) -> list[LinearSpec]:
        """Every weight that a stage may touch, in model order."""
        pooler = [] if self.pooler is None or self.new_pooler else [Site(self.pooler, "pooler", None)]
        return [
            dense(
                Site(f"{top}.{path}", kind, layer, kind in self.transposed, bias and f"{top}.{bias}"),
                *self.shape(kind),
                bias=self.has_bias(kind, path),
            )
            for layer in range(self.own_layers)
            for top in [self.layer.format(layer)]
            for kind, paths in self.paths.items()
            for path in paths.split()
            for bias in [self.bias_at.get(path)]
        ] + [dense(site, self.hidden, self.hidden) for site in pooler]

    def spec(self, labels: int | None) -> ModelSpec:
        """Return the untouched model with a head of `labels` outputs, or (None) as the language model it is."""
        if labels is None and not self.generates:
            raise ValueError(
                f"{self.name} is an encoder and writes no text; for generation use backbone=gpt2 or smollm2"
            )
        unembedding = self.vocabulary * self.features if labels is None else 0
        return ModelSpec(
            weights=tuple(self.weights()),
            layers=self.own_layers,
            uses=self.layers // self.own_layers,
            embeddings=self.embeddings + (0 if self.tied else unembedding),
            scales=self.norms,
            offsets=self.norms if self.norm_bias else 0,
            head=0 if labels is None else self.head(labels),
            head_size=self.head_features,
            attention=(self.heads,) * self.own_layers,
            queries_per_key=self.heads // (self.key_heads or self.heads),
            relative=self.relative,
            unembedding=unembedding,
            unembedding_bias=self.vocabulary if unembedding and self.unembedding_bias else 0,
            head_modules=self.head_modules,
        )

    @property
    def dimensions(self) -> Dimensions:
        """What of the numbers decides how much memory a step takes."""
        return Dimensions(
            self.hidden,
            self.vocabulary,
            self.layer_norms,
            self.kept,
            fused_gate=any("gate" in parts for parts in self.fused.values()),
            buffers=self.layers * self.positions**2 if self.kept.causal_table else 0,
            caches=self.generates,
            dtype=self.dtype or "float32",
            tied=self.tied,
        )

    def config_settings(self) -> dict[str, object]:
        """Return the numbers as transformers' configuration names them."""
        numbers = {key: getattr(self, name) for name, key in self.names.items()}
        return {key: value for key, value in numbers.items() if value is not None} | {
            **self.fixed,
            **self.usual,
            **(self.settings or {}),
        }

    def differences(self, content: Mapping[str, Any]) -> list[str]:
        """Return what config.json's content has otherwise than these settings, as "KEY is X, not Y"."""
        found = self.normalized(content)
        stated = {"model_type": self.model_type, **self.config_settings()}
        return [f"{key} is {found[key]}, not {v}" for key, v in stated.items() if found.get(key) not in (None, v)]

    def load(self, labels: int, regression: bool) -> Loaded:
        """Return the model with a new head of `labels` outputs, from torch's global random state, and its tokenizer."""
        return load_classifier(self, labels=labels, regression=regression)

    def load_lm(self) -> Loaded:
        """Return the language model and its tokenizer."""
        self.spec(None)  # refuses an encoder
        return load_lm(self)
