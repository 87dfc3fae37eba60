"""MPNet (Song et al. 2020): BERT's layers with one table of position biases, a column for each head, for all layers."""

from dataclasses import dataclass

from dsee_bench.models.backbone import Backbone
from dsee_bench.models.memory import Kept


@dataclass(frozen=True)
class Mpnet(Backbone):
    """MPNet."""

    model_types = ("mpnet",)
    kept = Kept(attention_dropout=True, fused_attention=False, position_bias=True, norms_first=False, dropouts=2)
    fixed = {"relative_attention_num_buckets": 32}  # transformers counts 32, whatever is set
    first_position = 2
    layer = "mpnet.encoder.layer.{}"
    paths = {
        "query": "attention.attn.q",
        "key": "attention.attn.k",
        "value": "attention.attn.v",
        "out": "attention.attn.o",
        "ffn_in": "intermediate.dense",
        "ffn_out": "output.dense",
    }

    @property
    def embeddings(self) -> int:
        return super().embeddings + 32 * self.heads
