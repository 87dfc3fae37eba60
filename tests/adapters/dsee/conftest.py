"""Two tiny models with random weights and no dropout, and how to train one for a few steps."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel


@pytest.fixture
def tiny_bert():
    """Two layers of width 32: query and value are Linear modules."""
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    ).eval()


@pytest.fixture
def tiny_gpt2():
    """Two layers of width 16: query, key and value are thirds of `c_attn`, a Conv1D of 48 output rows."""
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=50,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=40,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=49,
            pad_token_id=49,
        )
    ).eval()


@pytest.fixture
def ids():
    return torch.randint(1, 49, (6, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def train(ids):
    """A function that takes `steps` AdamW steps on what is trainable, on the same six texts."""

    def run(model, steps):
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2)
        labels = ids if model.config.model_type == "gpt2" else ids[:, 0] % 2
        for _ in range(steps):
            model(input_ids=ids, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return run
