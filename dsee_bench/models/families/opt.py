"""OPT (Zhang et al. 2022): pre-LayerNorm decoder layers; its table of positions has two rows that no token uses."""

from dataclasses import dataclass

from dsee_bench.models.backbone import NAMES, Backbone


@dataclass(frozen=True)
class Opt(Backbone):
    """OPT; the 350M checkpoint, which alone has its norms after the layers and narrower embeddings, is refused."""

    model_types = ("opt",)
    generates = True
    names = {**NAMES, "ffn": "ffn_dim", "tied": "tie_word_embeddings"}
    fixed = {"do_layer_norm_before": True, "enable_bias": True, "layer_norm_elementwise_affine": True}
    layer = "model.decoder.layers.{}"
    paths = {
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "out": "self_attn.out_proj",
        "ffn_in": "fc1",
        "ffn_out": "fc2",
    }

    @property
    def embeddings(self) -> int:
        return super().embeddings + 2 * self.hidden

    def config_settings(self) -> dict[str, object]:
        return super().config_settings() | {"word_embed_proj_dim": self.hidden}
