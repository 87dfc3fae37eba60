"""DeBERTa (He et al. 2021): attention between content and relative positions, each apart. Version 1 (`deberta`) and 2
and 3 (`deberta-v2`).

Version 1 keeps query, key and value in one `in_proj`, laid out head by head, which is split when loaded; their biases
are parameters beside it. It projects positions by weights of their own (kind `position`); version 3 sends them through
the query and key weights.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dsee_bench.config.limits import Count
from dsee_bench.models.load import Loaded, check_heads, load_classifier, no_language_model
from dsee_bench.models.spec import LinearSpec, ModelSpec, Relative, Site, dense


@dataclass(frozen=True)
class Deberta:
    """One checkpoint of the family; `model_type` is transformers' name of it."""

    generates: ClassVar[bool] = False
    longest: ClassVar[int | None] = None  # no table of positions ends
    pickled: ClassVar[bool] = True  # microsoft's repositories hold no safetensors

    name: str
    model_type: Literal["deberta", "deberta-v2"]
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
    positions: Count  # the longest distance
    buckets: Count | None  # of relative positions, on either side (version 2); None: one for each distance

    def __post_init__(self) -> None:
        check_heads(self.hidden, self.heads)
        if (self.buckets is None) == self.second:
            raise ValueError(f"buckets must be set for deberta-v2 and null for deberta, got {self.buckets}")

    @property
    def second(self) -> bool:
        return self.model_type == "deberta-v2"

    def spec(self, labels: int | None) -> ModelSpec:
        """The untouched model with a head of `labels` outputs."""
        if labels is None:
            raise no_language_model(self.name)
        span = self.buckets or self.positions
        norms = (1 + 2 * self.layers + self.second) * self.hidden  # version 2 has one for the table of positions
        return ModelSpec(
            weights=tuple(weight for layer in range(self.layers) for weight in self._layer(layer)),
            layers=self.layers,
            embeddings=(self.vocabulary + 2 * span) * self.hidden,
            scales=norms,
            offsets=norms,
            head=self.hidden * (self.hidden + 1) + labels * (self.hidden + 1),  # the pooler is part of the head
            head_size=self.hidden // self.heads,
            attention=(self.heads,) * self.layers,
            relative=Relative(span, grows=not self.second, shared=self.second),
        )

    def _layer(self, layer: int) -> list[LinearSpec]:
        path = f"deberta.encoder.layer.{layer}"
        hidden, content = self.hidden, f"{path}.attention.self"
        if self.second:
            weights = [
                dense(Site(f"{content}.query_proj", "query", layer), hidden, hidden),
                dense(Site(f"{content}.key_proj", "key", layer), hidden, hidden),
                dense(Site(f"{content}.value_proj", "value", layer), hidden, hidden),
            ]
        else:
            query = Site(f"{content}.in_proj.query", "query", layer, bias=f"{content}.q_bias")
            value = Site(f"{content}.in_proj.value", "value", layer, bias=f"{content}.v_bias")
            weights = [
                dense(query, hidden, hidden),
                dense(Site(f"{content}.in_proj.key", "key", layer), hidden, hidden, bias=False),
                dense(value, hidden, hidden),
                dense(Site(f"{content}.pos_proj", "position", layer), hidden, hidden, bias=False),
                dense(Site(f"{content}.pos_q_proj", "position", layer), hidden, hidden),
            ]
        return [
            *weights,
            dense(Site(f"{path}.attention.output.dense", "out", layer), hidden, hidden),
            dense(Site(f"{path}.intermediate.dense", "ffn_in", layer), self.ffn, hidden),
            dense(Site(f"{path}.output.dense", "ffn_out", layer), hidden, self.ffn),
        ]

    def config_settings(self) -> dict[str, object]:
        """The numbers as transformers' configuration names them."""
        settings: dict[str, object] = {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "intermediate_size": self.ffn,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.positions,
            "max_relative_positions": -1,  # as many as positions
            "relative_attention": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pos_att_type": "p2c|c2p" if self.second else "c2p|p2c",
        }
        if self.second:
            settings |= {"position_buckets": self.buckets, "share_att_key": True, "norm_rel_ebd": "layer_norm"}
        return settings

    def load(self, labels: int, regression: bool) -> Loaded:
        """The model with a new head of `labels` outputs, from torch's global random state, and its tokenizer."""
        return load_classifier(self, labels=labels, regression=regression)

    def load_lm(self) -> Loaded:
        """There is none: an encoder writes no text."""
        raise no_language_model(self.name)
