"""BERT, RoBERTa and their relatives: separate query, key and value weights, post-LayerNorm encoder layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept


@dataclass(frozen=True)
class Bert(Backbone):
    """BERT has a pretrained pooler; the others' task head has a dense layer of its own instead."""

    model_types: ClassVar[tuple[str, ...]] = ("bert", "roberta", "xlm-roberta", "camembert")
    names = {**NAMES, "types": "type_vocab_size"}
    kept: ClassVar[Kept] = Kept(attention_dropout=True, norms_first=False, dropouts=2)
    fixed: ClassVar[Mapping[str, object]] = {"position_embedding_type": "absolute"}  # transformers has no other now
    paths = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "out": "attention.output.dense",
        "ffn_in": "intermediate.dense",
        "ffn_out": "output.dense",
    }

    @property
    def layer(self) -> str:  # type: ignore[override]
        return f"{'bert' if self.model_type == 'bert' else 'roberta'}.encoder.layer.{{}}"

    @property
    def first_position(self) -> int:  # type: ignore[override]
        """RoBERTa counts positions from the padding token's on, which is its second."""
        return 0 if self.model_type == "bert" else 2

    @property
    def pooler(self) -> str | None:  # type: ignore[override]
        return "bert.pooler.dense" if self.model_type == "bert" else None
