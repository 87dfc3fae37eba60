"""DeBERTa (He et al. 2021): attention between content and relative positions, each apart. Version 1 (`deberta`) and 2
and 3 (`deberta-v2`).

Version 1 has its biases of query and value beside the fused weight, and projects positions by weights of their own
(kind `position`); version 3 sends them through the query and key weights. `pos_att_type` names the pairs whose
attention is computed: content to position (c2p), position to content (p2c), or both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dsee_bench.models.backbone import NAMES, Backbone
from dsee_bench.models.memory import Kept
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
    **REST,
}
SECOND: Mapping[Kind, str] = {
    "query": f"{CONTENT}.query_proj",
    "key": f"{CONTENT}.key_proj",
    "value": f"{CONTENT}.value_proj",
    **REST,
}
# Weights that project positions, by the pair they are for.
FIRST_POSITIONS = {"c2p": f"{CONTENT}.pos_proj", "p2c": f"{CONTENT}.pos_q_proj"}
SECOND_POSITIONS = {"c2p": f"{CONTENT}.pos_key_proj", "p2c": f"{CONTENT}.pos_query_proj"}
SECOND_ONLY = ("position_buckets", "share_att_key", "norm_rel_ebd", "conv_kernel_size")
ABSENT = {"share_att_key": False, "norm_rel_ebd": "none"}  # what version 2 takes for what its config.json lacks


@dataclass(frozen=True)
class Deberta(Backbone):
    """DeBERTa; `positions` is the longest distance that has an embedding of its own."""

    model_types = ("deberta", "deberta-v2")
    names = {**NAMES, "buckets": "position_buckets", "types": "type_vocab_size"}
    fixed = {"max_relative_positions": -1, "conv_kernel_size": 0}  # -1: as many as positions
    usual = {
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": "c2p|p2c",
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    }
    layer = "deberta.encoder.layer.{}"
    fused = {".in_proj": ("query", "key", "value")}
    by_head = True
    bias_at = {f"{CONTENT}.in_proj.query": f"{CONTENT}.q_bias", f"{CONTENT}.in_proj.value": f"{CONTENT}.v_bias"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.buckets is not None and not self.second:
            raise ValueError(f"buckets must be null for deberta, got {self.buckets}")

    @classmethod
    def numbers(cls, config: Any) -> dict[str, Any]:
        """As its parent's; no buckets are written as -1."""
        found = super().numbers(config)
        return {name: value for name, value in found.items() if name not in ("buckets", "types") or value > 0}

    @classmethod
    def normalized(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write `pos_att_type`, which is a text or a list, in one way; and a longest distance that is the usual one."""
        found = {**(ABSENT if content.get("model_type") == "deberta-v2" else {}), **content}
        pairs = found.get("pos_att_type") or []
        pairs = pairs.lower().split("|") if isinstance(pairs, str) else pairs
        found["pos_att_type"] = "|".join(sorted({pair.strip() for pair in pairs} & {"c2p", "p2c"})) or "none"
        if not found.get("position_buckets"):
            found["position_buckets"] = -1
        if found.get("max_relative_positions") == found.get("max_position_embeddings"):
            found["max_relative_positions"] = -1
        if isinstance(found.get("norm_rel_ebd"), str) and "layer_norm" in found["norm_rel_ebd"]:
            found["norm_rel_ebd"] = "layer_norm"
        return found

    @property
    def second(self) -> bool:
        return self.model_type == "deberta-v2"

    @property
    def pairs(self) -> list[str]:
        """The pairs of content and position whose attention is computed."""
        return [pair for pair in ("c2p", "p2c") if self.relative and pair in self.setting("pos_att_type")]

    @property
    def paths(self) -> Mapping[Kind, str]:  # type: ignore[override]
        paths = SECOND if self.second else FIRST
        if not self.pairs or (self.relative and self.relative.shared):
            return paths
        positions = SECOND_POSITIONS if self.second else FIRST_POSITIONS
        first: dict[Kind, str] = {kind: paths[kind] for kind in ("query", "key", "value")}
        return {**first, "position": " ".join(positions[pair] for pair in self.pairs), **paths}

    @property
    def kept(self) -> Kept:  # type: ignore[override]
        norm: Literal["torch", "python"] = "torch" if self.second else "python"
        return Kept(attention_dropout=True, fused_attention=False, norm=norm, norms_first=False, dropouts=2)

    @property
    def position_table(self) -> bool:  # type: ignore[override]
        return bool(self.setting("position_biased_input"))

    @property
    def embeddings(self) -> int:
        return super().embeddings + (2 * self.relative.span * self.hidden if self.relative else 0)

    @property
    def norms(self) -> int:
        """Version 2 has one for the table of relative positions."""
        return super().norms + (self.hidden if self.second and self.setting("norm_rel_ebd") == "layer_norm" else 0)

    @property
    def relative(self) -> Relative | None:
        if not self.setting("relative_attention"):
            return None
        pairs = sum(pair in self.setting("pos_att_type") for pair in ("c2p", "p2c"))
        shared = self.second and bool(self.setting("share_att_key"))
        return Relative(self.buckets or self.positions, grows=not self.second, shared=shared, pairs=pairs)

    def has_bias(self, kind: Kind, path: str) -> bool:
        return not path.endswith((".in_proj.key", ".pos_proj"))

    def config_settings(self) -> dict[str, object]:
        settings = {"position_buckets": -1} | super().config_settings()
        return settings if self.second else {key: value for key, value in settings.items() if key not in SECOND_ONLY}
