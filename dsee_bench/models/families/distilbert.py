"""DistilBERT (Sanh et al. 2019): BERT's layers, half as many, without token types and pooler."""

from dataclasses import dataclass

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept


@dataclass(frozen=True)
class Distilbert(Backbone):
    """DistilBERT."""

    model_types = ("distilbert",)
    kept = Kept(attention_dropout=True, norms_first=False, dropouts=1)
    names = {**NAMES, "layers": "n_layers", "hidden": "dim", "heads": "n_heads", "ffn": "hidden_dim"}
    layer = "distilbert.transformer.layer.{}"
    paths = {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "out": "attention.out_lin",
        "ffn_in": "ffn.lin1",
        "ffn_out": "ffn.lin2",
    }
