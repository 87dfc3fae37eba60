"""Llama-shaped decoders (Touvron et al. 2023): rotary positions, RMSNorm, usually no biases, a gated feed-forward part
with two weights in, and key and value heads that several query heads share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import FFN, Kind


@dataclass(frozen=True)
class Llama(Backbone):
    """Llama, Mistral, SmolLM and others of the same modules."""

    model_types: ClassVar[tuple[str, ...]] = ("llama", "mistral", "smollm3")
    generates = True
    names = {**NAMES, "key_heads": "num_key_value_heads", "head_size": "head_dim", "tied": "tie_word_embeddings"}
    kept: ClassVar[Kept] = Kept(norm="rms")
    usual: ClassVar[Mapping[str, object]] = {"attention_bias": False, "mlp_bias": False}
    position_table = False
    norm_bias = False
    layer = "model.layers.{}"
    paths = {
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "out": "self_attn.o_proj",
        "ffn_in": "mlp.gate_proj mlp.up_proj",
        "ffn_out": "mlp.down_proj",
    }

    def has_bias(self, kind: Kind, path: str) -> bool:
        return bool(self.setting("mlp_bias" if kind in FFN else "attention_bias"))
