"""OPT (Zhang et al. 2022): decoder layers; its table of positions has two rows that no token uses."""

from dataclasses import dataclass
from typing import Any

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import Kind, LinearSpec, Site, dense


@dataclass(frozen=True)
class Opt(Backbone):
    """OPT; the 350M checkpoint has its norms after the layers, and narrower embeddings with a projection either way."""

    model_types = ("opt",)
    kept = Kept(dropouts=2, relu=True)
    generates = True
    names = {**NAMES, "ffn": "ffn_dim", "embedding": "word_embed_proj_dim", "tied": "tie_word_embeddings"}
    fixed = {"_remove_final_layer_norm": False}
    usual = {"do_layer_norm_before": True, "enable_bias": True, "layer_norm_elementwise_affine": True}
    layer = "model.decoder.layers.{}"
    paths = {
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "out": "self_attn.out_proj",
        "ffn_in": "fc1",
        "ffn_out": "fc2",
    }

    @classmethod
    def numbers(cls, config: Any) -> dict[str, Any]:
        found = super().numbers(config)
        return found if found["embedding"] != found["hidden"] else {k: v for k, v in found.items() if k != "embedding"}

    @property
    def embeddings(self) -> int:
        return self.vocabulary * self.features + (self.positions + 2) * self.hidden

    @property
    def norms(self) -> int:
        """One more after the last layer, where they lie before the layers."""
        count = 2 * self.layers + bool(self.setting("do_layer_norm_before"))
        return count * self.hidden if self.setting("layer_norm_elementwise_affine") else 0

    def has_bias(self, kind: Kind, path: str) -> bool:
        return bool(self.setting("enable_bias"))

    def weights(self) -> list[LinearSpec]:
        if self.features == self.hidden:
            return super().weights()
        project_in, project_out = (
            Site(f"model.decoder.{name}", "projection", None) for name in ("project_in", "project_out")
        )
        return [
            dense(project_in, self.hidden, self.features, bias=False),
            *super().weights(),
            dense(project_out, self.features, self.hidden, bias=False),
        ]

    def config_settings(self) -> dict[str, object]:
        return super().config_settings() | {"word_embed_proj_dim": self.features}
