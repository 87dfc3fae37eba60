"""BERT, RoBERTa and their relatives: separate query, key and value weights, post-LayerNorm encoder layers.

The YAML of a backbone states its numbers, so that a plan needs neither weights nor network. `load` checks that the
weights it finds have these numbers.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dsee_bench.config.limits import Count
from dsee_bench.models.load import Loaded, check_heads, load_classifier, no_language_model
from dsee_bench.models.spec import Kind, ModelSpec, Site, dense

PATHS: dict[Kind, str] = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
}


@dataclass(frozen=True)
class Bert:
    """One checkpoint of the family; `model_type` is transformers' name of it."""

    generates: ClassVar[bool] = False
    pickled: ClassVar[bool] = False

    name: str
    model_type: Literal["bert", "roberta"]
    hub: str | None  # repository on the hub
    revision: str | None  # its pinned commit
    package: str | None  # Python package with a MODEL_DIR, for weights without a network
    path: str | None  # the user's own folder; goes before all others
    random: bool  # random weights, for tests
    layers: Count
    hidden: Count
    heads: Count
    ffn: Count
    vocabulary: Count
    positions: Count
    types: Count
    new_pooler: bool | None = None  # BERT: nobody trained it, so it is part of the task head

    def __post_init__(self) -> None:
        check_heads(self.hidden, self.heads)
        if self.new_pooler and self.model_type != "bert":
            raise ValueError(f"new_pooler=true is for a pooler in the checkpoint, and {self.model_type} has none")

    @property
    def longest(self) -> int:
        """Tokens of the longest input; RoBERTa counts positions from the padding token's on, which is its second."""
        return self.positions - (2 if self.model_type == "roberta" else 0)

    @property
    def pooled(self) -> bool:
        """Whether the pooler is one of the pretrained weights; RoBERTa's head has a dense layer of its own instead."""
        return self.model_type == "bert" and not self.new_pooler

    def spec(self, labels: int | None) -> ModelSpec:
        """The untouched model with a head of `labels` outputs."""
        if labels is None:
            raise no_language_model(self.name)
        sizes: dict[Kind, tuple[int, int]] = {
            "query": (self.hidden, self.hidden),
            "key": (self.hidden, self.hidden),
            "value": (self.hidden, self.hidden),
            "out": (self.hidden, self.hidden),
            "ffn_in": (self.ffn, self.hidden),
            "ffn_out": (self.hidden, self.ffn),
        }
        weights = [
            dense(Site(f"{self.model_type}.encoder.layer.{layer}.{PATHS[kind]}", kind, layer), *sizes[kind])
            for layer in range(self.layers)
            for kind in sizes
        ]
        if self.pooled:
            weights.append(dense(Site("bert.pooler.dense", "pooler", None), self.hidden, self.hidden))
        offsets = (1 + 2 * self.layers) * self.hidden  # of the norms after the embeddings, the attention and the FFN
        head_body = 0 if self.pooled else self.hidden * (self.hidden + 1)
        return ModelSpec(
            weights=tuple(weights),
            layers=self.layers,
            embeddings=(self.vocabulary + self.positions + self.types) * self.hidden,
            scales=offsets,
            offsets=offsets,
            head=head_body + labels * (self.hidden + 1),
            head_size=self.hidden // self.heads,
            attention=(self.heads,) * self.layers,
            head_modules=("bert.pooler",) if self.new_pooler else (),
        )

    def config_settings(self) -> dict[str, object]:
        """The numbers as transformers' configuration names them."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "intermediate_size": self.ffn,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
        }

    def load(self, labels: int, regression: bool) -> Loaded:
        """The model with a new head of `labels` outputs, from torch's global random state, and its tokenizer."""
        return load_classifier(self, labels=labels, regression=regression)

    def load_lm(self) -> Loaded:
        """There is none: an encoder writes no text."""
        raise no_language_model(self.name)
