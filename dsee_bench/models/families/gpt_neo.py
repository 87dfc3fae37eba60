"""GPT-Neo (Black et al. 2021): GPT-2's layers with separate weights; every second layer attends locally."""

from dataclasses import dataclass

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.spec import Kind


@dataclass(frozen=True)
class GptNeo(Backbone):
    """GPT-Neo."""

    model_types = ("gpt_neo",)
    generates = True
    names = {**NAMES, "layers": "num_layers", "heads": "num_heads"}
    layer = "transformer.h.{}"
    paths = {
        "query": "attn.attention.q_proj",
        "key": "attn.attention.k_proj",
        "value": "attn.attention.v_proj",
        "out": "attn.attention.out_proj",
        "ffn_in": "mlp.c_fc",
        "ffn_out": "mlp.c_proj",
    }

    def has_bias(self, kind: Kind, path: str) -> bool:
        return kind not in ("query", "key", "value")

    def config_settings(self) -> dict[str, object]:
        return super().config_settings() | {"attention_types": [[["global", "local"], self.layers // 2]]}
