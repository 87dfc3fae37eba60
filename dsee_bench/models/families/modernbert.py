"""ModernBERT (Warner et al. 2024): rotary positions, local attention in two of three layers, a gated feed-forward part,
fused weights, usually no biases.
"""

from dataclasses import dataclass

from dsee_bench.models.backbone import Backbone
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import FFN, Kind


@dataclass(frozen=True)
class Modernbert(Backbone):
    """ModernBERT."""

    model_types = ("modernbert",)
    kept = Kept(whole=True)
    usual = {"attention_bias": False, "mlp_bias": False, "norm_bias": False, "classifier_bias": False}
    position_table = False
    layer = "model.layers.{}"
    fused = {".Wqkv": ("query", "key", "value"), ".Wi": ("input", "gate")}
    paths = {
        "query": "attn.Wqkv.query",
        "key": "attn.Wqkv.key",
        "value": "attn.Wqkv.value",
        "out": "attn.Wo",
        "ffn_in": "mlp.Wi.input mlp.Wi.gate",
        "ffn_out": "mlp.Wo",
    }

    @property
    def norms(self) -> int:
        """One after the embeddings, one at the end; the first layer has one of two."""
        return (1 + 2 * self.layers) * self.hidden

    @property
    def norm_bias(self) -> bool:  # type: ignore[override]
        return bool(self.setting("norm_bias"))

    def has_bias(self, kind: Kind, path: str) -> bool:
        return bool(self.setting("mlp_bias" if kind in FFN else "attention_bias"))

    def head(self, labels: int) -> int:
        """A dense layer, a norm, and the classifier."""
        biases = self.hidden * (bool(self.setting("classifier_bias")) + self.norm_bias)
        return self.hidden * (self.hidden + 1) + biases + labels * (self.hidden + 1)
