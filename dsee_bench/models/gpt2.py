"""GPT-2 (Radford et al. 2019): pre-LayerNorm decoder layers of Conv1D modules, which store (inputs, outputs).

Query, key and value are one `c_attn`, which is split when loaded. As a classifier the model reads its answer at a
text's last token, by a head without bias.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dsee_bench.config.limits import Count
from dsee_bench.models.load import Loaded, check_heads, load_classifier, load_lm
from dsee_bench.models.spec import LinearSpec, ModelSpec, Site, dense


@dataclass(frozen=True)
class Gpt2:
    """One checkpoint of the family; `model_type` is transformers' name of it."""

    generates: ClassVar[bool] = True
    pickled: ClassVar[bool] = False

    name: str
    model_type: Literal["gpt2"]
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

    def __post_init__(self) -> None:
        check_heads(self.hidden, self.heads)

    @property
    def longest(self) -> int:
        """Tokens of the longest input."""
        return self.positions

    def spec(self, labels: int | None) -> ModelSpec:
        """The untouched model with a head of `labels` outputs, or (None) as the language model it is."""
        norms = (1 + 2 * self.layers) * self.hidden
        return ModelSpec(
            weights=tuple(weight for layer in range(self.layers) for weight in self._layer(layer)),
            layers=self.layers,
            embeddings=(self.vocabulary + self.positions) * self.hidden,
            scales=norms,
            offsets=norms,
            head=0 if labels is None else labels * self.hidden,
            head_size=self.hidden // self.heads,
            attention=(self.heads,) * self.layers,
            unembedding=self.vocabulary * self.hidden if labels is None else 0,
        )

    def _layer(self, layer: int) -> list[LinearSpec]:
        path, hidden = f"transformer.h.{layer}", self.hidden
        return [
            dense(Site(f"{path}.attn.c_attn.query", "query", layer), hidden, hidden),
            dense(Site(f"{path}.attn.c_attn.key", "key", layer), hidden, hidden),
            dense(Site(f"{path}.attn.c_attn.value", "value", layer), hidden, hidden),
            dense(Site(f"{path}.attn.c_proj", "out", layer, transposed=True), hidden, hidden),
            dense(Site(f"{path}.mlp.c_fc", "ffn_in", layer, transposed=True), self.ffn, hidden),
            dense(Site(f"{path}.mlp.c_proj", "ffn_out", layer, transposed=True), hidden, self.ffn),
        ]

    def config_settings(self) -> dict[str, object]:
        """The numbers as transformers' configuration names them."""
        return {
            "n_layer": self.layers,
            "n_embd": self.hidden,
            "n_head": self.heads,
            "n_inner": self.ffn,
            "vocab_size": self.vocabulary,
            "n_positions": self.positions,
        }

    def load(self, labels: int, regression: bool) -> Loaded:
        """The model with a new head of `labels` outputs, from torch's global random state, and its tokenizer."""
        return load_classifier(self, labels=labels, regression=regression)

    def load_lm(self) -> Loaded:
        """The language model, which shares its unembedding with the embeddings, and its tokenizer."""
        return load_lm(self)
