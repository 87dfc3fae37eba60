"""GPT-2 (Radford et al. 2019): pre-LayerNorm decoder layers of Conv1D modules, which store (inputs, outputs).

As a classifier the model reads its answer at a text's last token, by a head without bias.
"""

from dataclasses import dataclass

from dsee_bench.models.backbone import Backbone
from dsee_bench.models.memory import Kept


@dataclass(frozen=True)
class Gpt2(Backbone):
    """GPT-2."""

    model_types = ("gpt2",)
    generates = True
    names = {
        "layers": "n_layer",
        "hidden": "n_embd",
        "heads": "n_head",
        "ffn": "n_inner",
        "vocabulary": "vocab_size",
        "positions": "n_positions",
        "tied": "tie_word_embeddings",
    }
    layer = "transformer.h.{}"
    fused = {".c_attn": ("query", "key", "value")}
    transposed = frozenset({"out", "ffn_in", "ffn_out"})
    kept = Kept(attention_dropout=True, dropouts=2, activation=4)
    paths = {
        "query": "attn.c_attn.query",
        "key": "attn.c_attn.key",
        "value": "attn.c_attn.value",
        "out": "attn.c_proj",
        "ffn_in": "mlp.c_fc",
        "ffn_out": "mlp.c_proj",
    }
