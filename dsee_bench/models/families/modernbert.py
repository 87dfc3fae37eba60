"""ModernBERT (Warner et al. 2024): rotary positions, local attention in two of three layers, a gated feed-forward part,
fused weights, no biases.
"""

from dataclasses import dataclass

from dsee_bench.models.backbone import Backbone
from dsee_bench.models.spec import Kind


@dataclass(frozen=True)
class Modernbert(Backbone):
    """ModernBERT."""

    model_types = ("modernbert",)
    fixed = {"attention_bias": False, "mlp_bias": False, "norm_bias": False, "classifier_bias": False}
    position_table = False
    norm_bias = False
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

    def has_bias(self, kind: Kind, path: str) -> bool:
        return False

    def head(self, labels: int) -> int:
        """A dense layer without bias, a norm, and the classifier."""
        return self.hidden * (self.hidden + 1) + labels * (self.hidden + 1)
