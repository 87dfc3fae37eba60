"""Llama-shaped decoders (Touvron et al. 2023): rotary positions, RMSNorm, no biases, a gated feed-forward part with
two weights in, and key and value heads that several query heads share.

As a classifier the model reads its answer at a text's last token, by a head without bias.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dsee_bench.config.limits import Count
from dsee_bench.models.load import Loaded, check_heads, load_classifier, load_lm
from dsee_bench.models.spec import LinearSpec, ModelSpec, Site, dense


@dataclass(frozen=True)
class Llama:
    """One checkpoint of the family; `model_type` is transformers' name of it."""

    generates: ClassVar[bool] = True
    longest: ClassVar[int | None] = None  # no table of positions ends
    pickled: ClassVar[bool] = False

    name: str
    model_type: Literal["llama"]
    hub: str | None  # repository on the hub
    revision: str | None  # its pinned commit
    package: str | None  # Python package with a GGUF file or a MODEL_DIR, for weights without a network
    path: str | None  # the user's own folder; goes before all others
    random: bool  # random weights, for tests
    layers: Count
    hidden: Count
    heads: Count
    key_heads: Count  # of keys and values
    ffn: Count
    vocabulary: Count
    positions: Count

    def __post_init__(self) -> None:
        check_heads(self.hidden, self.heads)
        if self.heads % self.key_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of key_heads {self.key_heads}")

    def spec(self, labels: int | None) -> ModelSpec:
        """The untouched model with a head of `labels` outputs, or (None) as the language model it is."""
        return ModelSpec(
            weights=tuple(weight for layer in range(self.layers) for weight in self._layer(layer)),
            layers=self.layers,
            embeddings=self.vocabulary * self.hidden,
            scales=(1 + 2 * self.layers) * self.hidden,
            offsets=0,
            head=0 if labels is None else labels * self.hidden,
            head_size=self.hidden // self.heads,
            attention=(self.heads,) * self.layers,
            queries_per_key=self.heads // self.key_heads,
            unembedding=self.vocabulary * self.hidden if labels is None else 0,
        )

    def _layer(self, layer: int) -> list[LinearSpec]:
        path, hidden = f"model.layers.{layer}", self.hidden
        keys = self.key_heads * (self.hidden // self.heads)
        return [
            dense(Site(f"{path}.self_attn.q_proj", "query", layer), hidden, hidden, bias=False),
            dense(Site(f"{path}.self_attn.k_proj", "key", layer), keys, hidden, bias=False),
            dense(Site(f"{path}.self_attn.v_proj", "value", layer), keys, hidden, bias=False),
            dense(Site(f"{path}.self_attn.o_proj", "out", layer), hidden, hidden, bias=False),
            dense(Site(f"{path}.mlp.gate_proj", "ffn_in", layer), self.ffn, hidden, bias=False),
            dense(Site(f"{path}.mlp.up_proj", "ffn_in", layer), self.ffn, hidden, bias=False),
            dense(Site(f"{path}.mlp.down_proj", "ffn_out", layer), hidden, self.ffn, bias=False),
        ]

    def config_settings(self) -> dict[str, object]:
        """The numbers as transformers' configuration names them."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "intermediate_size": self.ffn,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "tie_word_embeddings": True,
        }

    def load(self, labels: int, regression: bool) -> Loaded:
        """The model with a new head of `labels` outputs, from torch's global random state, and its tokenizer."""
        return load_classifier(self, labels=labels, regression=regression)

    def load_lm(self) -> Loaded:
        """The language model, which shares its unembedding with the embeddings, and its tokenizer."""
        return load_lm(self)
