"""Checkpoints with settings that the usual ones of their family do not have: counted, narrowed, and refused."""

import pytest
import torch
from torch_counts import check_against
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.initialization import no_init_weights

import dsee_bench
from dsee_bench.config import validate
from dsee_bench.models.fused import split
from dsee_bench.runs import sweep

BERT = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 90}
GROUPED = {**BERT, "hidden_size": 64, "num_attention_heads": 8, "num_key_value_heads": 2}
V1 = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"]}
V2 = {**V1, "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_buckets": 16}
UNUSUAL = [
    # model type, settings
    ("bert", {"hidden_act": "relu", "type_vocab_size": 5, "max_position_embeddings": 130}),
    ("bert", {"position_embedding_type": "absolute", "tie_word_embeddings": False}),
    ("roberta", {"type_vocab_size": 2, "pad_token_id": 0}),
    ("electra", {"embedding_size": 32}),
    ("electra", {"embedding_size": 24, "summary_type": "first"}),
    ("albert", {"embedding_size": 24, "num_hidden_layers": 5}),
    ("distilbert", {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 40, "sinusoidal_pos_embds": True}),
    ("mpnet", {"hidden_act": "relu", "max_position_embeddings": 150}),
    ("modernbert", {"attention_bias": True, "mlp_bias": True, "norm_bias": True, "classifier_bias": True}),
    ("modernbert", {"global_attn_every_n_layers": 1, "local_attention": 8, "norm_bias": True}),
    ("deberta", {}),
    ("deberta", {**V1, "position_biased_input": True, "type_vocab_size": 2}),
    ("deberta", {**V1, "pos_att_type": "c2p|p2c", "max_relative_positions": 512}),
    ("deberta", {**V1, "pos_att_type": ["p2c"]}),
    ("deberta", {**V1, "pos_att_type": "c2p"}),
    ("deberta-v2", {}),
    ("deberta-v2", {**V2, "pos_att_type": "p2c|c2p"}),
    ("deberta-v2", {**V2, "position_buckets": -1, "type_vocab_size": 3, "norm_rel_ebd": "none"}),
    ("deberta-v2", {**V2, "share_att_key": False}),
    ("deberta-v2", {**V2, "share_att_key": False, "pos_att_type": "c2p", "position_biased_input": True}),
    ("gpt2", {"n_inner": 48, "n_embd": 32, "n_layer": 3, "n_head": 2, "tie_word_embeddings": False}),
    ("gpt_neo", {"num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]], "tie_word_embeddings": False}),
    ("gpt_neox", {"attention_bias": False, "rotary_pct": 1.0, "use_parallel_residual": False}),
    ("gpt_neox", {"tie_word_embeddings": True}),
    ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False}),
    ("opt", {"ffn_dim": 48, "enable_bias": False, "layer_norm_elementwise_affine": False}),
    ("opt", {"ffn_dim": 48, "word_embed_proj_dim": 16, "tie_word_embeddings": False}),
    ("llama", {**GROUPED, "attention_bias": True, "tie_word_embeddings": True}),
    ("llama", {**GROUPED, "mlp_bias": True, "head_dim": 24, "hidden_act": "gelu"}),
    ("llama", {**GROUPED, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}}),
    ("mistral", {**GROUPED, "head_dim": 4, "sliding_window": 4, "tie_word_embeddings": True}),
    ("smollm3", {**GROUPED, "attention_bias": True, "mlp_bias": True, "no_rope_layers": [1, 0]}),
    ("qwen2", {**GROUPED, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    ("qwen2", {**GROUPED, "tie_word_embeddings": True}),
    ("qwen3", {**GROUPED, "head_dim": 12, "attention_bias": True, "tie_word_embeddings": True}),
    ("gemma", {**GROUPED, "head_dim": 16, "attention_bias": True, "tie_word_embeddings": False}),
    ("gemma2", {**GROUPED, "head_dim": 16, "sliding_window": 4, "attn_logit_softcapping": 5.0, "attention_bias": True}),
    ("gemma3_text", {**GROUPED, "head_dim": 16, "sliding_window": 4, "attention_bias": True,
                     "final_logit_softcapping": 3.0, "layer_types": ["sliding_attention", "full_attention"]}),
    ("phi", {**GROUPED, "qk_layernorm": True, "tie_word_embeddings": True}),
    ("phi3", {**GROUPED, "num_key_value_heads": 8, "sliding_window": 4, "tie_word_embeddings": True}),
    ("phi3", {**GROUPED, "partial_rotary_factor": 0.5, "rope_scaling": {
        "rope_type": "longrope", "short_factor": [1.0, 1.1], "long_factor": [1.5, 2.0]},
        "original_max_position_embeddings": 64}),
]  # fmt: skip
IDS = [f"{model_type}-{number}" for number, (model_type, _) in enumerate(UNUSUAL)]


def config_of(model_type, settings, **more):
    return AutoConfig.for_model(model_type, **{"pad_token_id": 0, **BERT, **settings, **more})


@pytest.fixture
def backbone(model_type, settings, tmp_path):
    config_of(model_type, {**settings}).save_pretrained(tmp_path)
    return validate.build(sweep.resolved(["backbone=auto", f"backbone.path={tmp_path}"])["backbone"], "backbone")


@pytest.mark.parametrize(("model_type", "settings"), UNUSUAL, ids=IDS)
def test_counts_are_torchs(model_type, settings, backbone):
    """Parameters, and FLOPs by torch's counter, as a classifier and as a language model."""

    def real(auto_class, **head):
        with no_init_weights():
            config = config_of(model_type, settings, attn_implementation="eager", **head)
            model = auto_class.from_config(config).eval()
        model.tie_weights()
        split(model)
        return model

    check_against(
        backbone.spec(3), lambda: real(AutoModelForSequenceClassification, num_labels=3), lambda model: model.base_model
    )
    if backbone.generates:
        check_against(backbone.spec(None), lambda: real(AutoModelForCausalLM), lambda model: model)


@pytest.mark.parametrize(("model_type", "settings"), UNUSUAL, ids=IDS)
def test_narrowed_pruned_saved_and_loaded(model_type, settings, backbone, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config_of(model_type, settings, num_labels=3)).eval()
    assert dsee_bench.count(model).total == backbone.spec(3).total
    if not backbone.shared_layers:
        dsee_bench.narrow_(model, heads=0.5, ffn=0.5)
        assert dsee_bench.count(model).total < backbone.spec(3).total
    dsee_bench.prune_(model, 0.3)
    dsee_bench.save(model, tmp_path / "out")
    batch = torch.randint(3, 90, (2, 9), generator=torch.Generator().manual_seed(0))
    assert torch.equal(dsee_bench.load(tmp_path / "out")(batch).logits, model(batch).logits)
