"""Qwen 2, 2.5 and 3: Llama's layers. Version 2 has biases on query, key and value, version 3 norms on query and key."""

from dataclasses import dataclass

from dsee_bench.models.families.llama import Llama
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import Kind


@dataclass(frozen=True)
class Qwen2(Llama):
    """Qwen 2 and 2.5."""

    model_types = ("qwen2",)
    usual = {}

    def has_bias(self, kind: Kind, path: str) -> bool:
        return kind in ("query", "key", "value")


@dataclass(frozen=True)
class Qwen3(Llama):
    """Qwen 3."""

    model_types = ("qwen3",)
    kept = Kept(norm="rms", head_norms=True)
    usual = {"attention_bias": False}

    @property
    def norms(self) -> int:
        return super().norms + 2 * self.layers * self.head_features
