"""DeBERTa (He et al. 2021): attention between content and relative positions, each apart. Version 1 (`deberta`) and 2
and 3 (`deberta-v2`).

Version 1 has its biases of query and value beside the fused weight, and projects positions by weights of their own
(kind `position`); version 3 sends them through the query and key weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.spec import Kind, Relative

CONTENT = "attention.self"
REST: Mapping[Kind, str] = {
    "out": "attention.output.dense",
    "ffn_in": "intermediate.dense",
    "ffn_out": "output.dense",
}
FIRST: Mapping[Kind, str] = {
    "query": f"{CONTENT}.in_proj.query",
    "key": f"{CONTENT}.in_proj.key",
    "value": f"{CONTENT}.in_proj.value",
    "position": f"{CONTENT}.pos_proj {CONTENT}.pos_q_proj",
    **REST,
}
SECOND: Mapping[Kind, str] = {
    "query": f"{CONTENT}.query_proj",
    "key": f"{CONTENT}.key_proj",
    "value": f"{CONTENT}.value_proj",
    **REST,
}


@dataclass(frozen=True)
class Deberta(Backbone):
    """DeBERTa; `positions` is the longest distance that has an embedding of its own."""

    model_types = ("deberta", "deberta-v2")
    pickled = True  # microsoft's repositories hold no safetensors
    names = {**NAMES, "buckets": "position_buckets"}
    position_table = False
    layer = "deberta.encoder.layer.{}"
    fused = {".in_proj": ("query", "key", "value")}
    by_head = True
    bias_at = {f"{CONTENT}.in_proj.query": f"{CONTENT}.q_bias", f"{CONTENT}.in_proj.value": f"{CONTENT}.v_bias"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.buckets is None) == self.second:
            raise ValueError(f"buckets must be set for deberta-v2 and null for deberta, got {self.buckets}")

    @property
    def second(self) -> bool:
        return self.model_type == "deberta-v2"

    @property
    def paths(self) -> Mapping[Kind, str]:  # type: ignore[override]
        return SECOND if self.second else FIRST

    @property
    def span(self) -> int:
        """Rows of the table of relative positions on either side of zero."""
        return self.buckets or self.positions

    @property
    def embeddings(self) -> int:
        return (self.vocabulary + 2 * self.span) * self.hidden

    @property
    def norms(self) -> int:
        return super().norms + (self.hidden if self.second else 0)  # version 2 has one for the table of positions

    @property
    def relative(self) -> Relative:
        return Relative(self.span, grows=not self.second, shared=self.second)

    def has_bias(self, kind: Kind, path: str) -> bool:
        return not path.endswith((".in_proj.key", ".pos_proj"))

    def config_settings(self) -> dict[str, object]:
        settings: dict[str, object] = {
            "max_relative_positions": -1,  # as many as positions
            "relative_attention": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pos_att_type": "p2c|c2p" if self.second else "c2p|p2c",
        }
        if self.second:
            settings |= {"share_att_key": True, "norm_rel_ebd": "layer_norm"}
        return super().config_settings() | settings
