"""GPT-Neo (Black et al. 2021): GPT-2's layers with separate weights; every second layer attends locally."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import Kind


@dataclass(frozen=True)
class GptNeo(Backbone):
    """GPT-Neo."""

    model_types = ("gpt_neo",)
    kept = Kept(fused_attention=False, returned=True, causal_table=True, activation=4)
    generates = True
    names = {**NAMES, "layers": "num_layers", "heads": "num_heads", "tied": "tie_word_embeddings"}
    layer = "transformer.h.{}"
    paths = {
        "query": "attn.attention.q_proj",
        "key": "attn.attention.k_proj",
        "value": "attn.attention.v_proj",
        "out": "attn.attention.out_proj",
        "ffn_in": "mlp.c_fc",
        "ffn_out": "mlp.c_proj",
    }

    @classmethod
    def normalized(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out which layers attend locally: nothing here depends on it."""
        return {key: value for key, value in content.items() if key != "attention_types"}

    def has_bias(self, kind: Kind, path: str) -> bool:
        return kind not in ("query", "key", "value")

    def config_settings(self) -> dict[str, object]:
        return super().config_settings() | {"attention_types": [[["global", "local"], self.layers // 2]]}
