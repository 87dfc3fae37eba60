"""Phi 1 to 4 (Gunasekar et al. 2023; Abdin et al. 2024). Version 3 and 4's small models are Llama's layers with fused
weights, `phi3`; versions 1 and 2 have one norm a layer and biases, `phi`.
"""

from dataclasses import dataclass
from typing import ClassVar

from dsee_bench.models.backbone import Backbone
from dsee_bench.models.families.llama import Llama
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import Kind


@dataclass(frozen=True)
class Phi(Backbone):
    """Phi 1, 1.5 and 2: attention and feed-forward part read the same norm."""

    model_types = ("phi",)
    kept = Kept(copied=True, parallel=True, activation=4)
    generates = True
    names = {key: value for key, value in Llama.names.items() if key != "head_size"}
    usual = {"qk_layernorm": False}
    position_table = False
    layer_norms = 1
    layer = "model.layers.{}"
    unembedding_bias = True
    paths = {
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "out": "self_attn.dense",
        "ffn_in": "mlp.fc1",
        "ffn_out": "mlp.fc2",
    }

    @property
    def norms(self) -> int:
        return super().norms + (2 * self.layers * self.head_features if self.setting("qk_layernorm") else 0)


@dataclass(frozen=True)
class Phi3(Llama):
    """Phi 3, 3.5 and 4."""

    model_types: ClassVar[tuple[str, ...]] = ("phi3",)
    kept = Kept(copied=True, norm="rms")
    usual = {}
    fused = {".qkv_proj": ("query", "key", "value"), ".gate_up_proj": ("gate", "up")}
    paths = {
        "query": "self_attn.qkv_proj.query",
        "key": "self_attn.qkv_proj.key",
        "value": "self_attn.qkv_proj.value",
        "out": "self_attn.o_proj",
        "ffn_in": "mlp.gate_up_proj.gate mlp.gate_up_proj.up",
        "ffn_out": "mlp.down_proj",
    }

    def has_bias(self, kind: Kind, path: str) -> bool:
        return False
