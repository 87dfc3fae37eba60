"""BERT, RoBERTa and their relatives: separate query, key and value weights, post-LayerNorm encoder layers."""

from dataclasses import dataclass
from typing import ClassVar

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.spec import LinearSpec, Site, dense


@dataclass(frozen=True)
class Bert(Backbone):
    """BERT has a pretrained pooler; the others' task head has a dense layer of its own instead."""

    model_types: ClassVar[tuple[str, ...]] = ("bert", "roberta", "xlm-roberta", "camembert")
    names = {**NAMES, "types": "type_vocab_size"}
    paths = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "out": "attention.output.dense",
        "ffn_in": "intermediate.dense",
        "ffn_out": "output.dense",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.new_pooler and self.model_type != "bert":
            raise ValueError(f"new_pooler=true is for a pooler in the checkpoint, and {self.model_type} has none")

    @property
    def layer(self) -> str:  # type: ignore[override]
        return f"{'bert' if self.model_type == 'bert' else 'roberta'}.encoder.layer.{{}}"

    @property
    def first_position(self) -> int:  # type: ignore[override]
        """RoBERTa counts positions from the padding token's on, which is its second."""
        return 0 if self.model_type == "bert" else 2

    @property
    def pooled(self) -> bool:
        """Whether the pooler is one of the pretrained weights."""
        return self.model_type == "bert" and not self.new_pooler

    def weights(self) -> list[LinearSpec]:
        pooler = dense(Site("bert.pooler.dense", "pooler", None), self.hidden, self.hidden)
        return [*super().weights(), *([pooler] if self.pooled else [])]

    def head(self, labels: int) -> int:
        return labels * (self.hidden + 1) if self.pooled else super().head(labels)
