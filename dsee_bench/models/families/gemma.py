"""Gemma 1 to 3, the text models: Llama's layers, with heads of a size of their own; two more norms a layer since
version 2, and norms on query and key in version 3.
"""

from dataclasses import dataclass

from dsee_bench.models.families.llama import Llama
from dsee_bench.models.memory import Kept


@dataclass(frozen=True)
class Gemma(Llama):
    """Gemma; `gemma3_text` is version 3's model of text alone."""

    model_types = ("gemma", "gemma2", "gemma3_text")
    usual = {"attention_bias": False}

    @property
    def layer_norms(self) -> int:  # type: ignore[override]
        return 2 if self.model_type == "gemma" else 4

    @property
    def kept(self) -> Kept:  # type: ignore[override]
        second, third = self.model_type == "gemma2", self.model_type == "gemma3_text"
        return Kept(fused_attention=not second, capped=second, norm="rms", head_norms=third)

    @property
    def norms(self) -> int:
        on_heads = 2 * self.layers * self.head_features if self.model_type == "gemma3_text" else 0
        return super().norms + on_heads
