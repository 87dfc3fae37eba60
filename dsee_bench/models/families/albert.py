"""ALBERT (Lan et al. 2020): one layer's weights, used by all layers, over narrower embeddings."""

from dataclasses import dataclass

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept
from dsee_bench.models.spec import LinearSpec, Site, dense


@dataclass(frozen=True)
class Albert(Backbone):
    """ALBERT with one group of layers, as all published checkpoints have: adapters and unstructured pruning only."""

    model_types = ("albert",)
    kept = Kept(norms_first=False, activation=4)
    names = {**NAMES, "types": "type_vocab_size", "embedding": "embedding_size"}
    fixed = {"num_hidden_groups": 1, "inner_group_num": 1, "position_embedding_type": "absolute"}
    shared_layers = True
    pooler = "albert.pooler"
    layer = "albert.encoder.albert_layer_groups.{}.albert_layers.0"
    paths = {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "out": "attention.dense",
        "ffn_in": "ffn",
        "ffn_out": "ffn_output",
    }

    def weights(self) -> list[LinearSpec]:
        mapping = Site("albert.encoder.embedding_hidden_mapping_in", "projection", None)
        return [dense(mapping, self.hidden, self.embedding or self.hidden), *super().weights()]
