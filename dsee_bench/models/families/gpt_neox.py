"""GPT-NeoX (Black et al. 2022) and Pythia: rotary positions, and query, key and value fused head by head."""

from dataclasses import dataclass

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import FFN, Kind


@dataclass(frozen=True)
class GptNeox(Backbone):
    """GPT-NeoX and Pythia."""

    model_types = ("gpt_neox",)
    kept = Kept(copied=True, parallel=True)
    generates = True
    names = {**NAMES, "tied": "tie_word_embeddings"}
    usual = {"attention_bias": True}
    position_table = False
    layer = "gpt_neox.layers.{}"
    fused = {".query_key_value": ("query", "key", "value")}
    by_head = True
    paths = {
        "query": "attention.query_key_value.query",
        "key": "attention.query_key_value.key",
        "value": "attention.query_key_value.value",
        "out": "attention.dense",
        "ffn_in": "mlp.dense_h_to_4h",
        "ffn_out": "mlp.dense_4h_to_h",
    }

    def has_bias(self, kind: Kind, path: str) -> bool:
        return kind in FFN or bool(self.setting("attention_bias"))
