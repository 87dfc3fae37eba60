"""Split weights give what the whole one gave, and joined again they are transformers' own model."""

import copy

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoConfig, AutoModelForSequenceClassification

from dsee_bench import config
from dsee_bench.config import validate
from dsee_bench.models.fused import Fused, join, split

FUSED = ["tiny-gpt2", "tiny-deberta"]


def model_of(name):
    backbone = validate.build(OmegaConf.load(config.CONF / "backbone" / f"{name}.yaml"), "backbone")
    torch.manual_seed(0)
    settings = AutoConfig.for_model(backbone.model_type, num_labels=2, pad_token_id=0, **backbone.config_settings())
    model = AutoModelForSequenceClassification.from_config(settings).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.double()  # parts of a product may add up in another order than the whole


@pytest.mark.parametrize("name", FUSED)
def test_split_computes_the_same(name):
    whole = model_of(name)
    parts = copy.deepcopy(whole)
    split(parts)
    ids = torch.randint(5, 600, (2, 11))
    assert sum(isinstance(module, Fused) for module in parts.modules()) == 2, "one a layer"
    assert torch.allclose(whole(ids).logits, parts(ids).logits, atol=1e-10)


@pytest.mark.parametrize("name", FUSED)
def test_join_gives_back_every_tensor(name):
    whole = model_of(name)
    again = copy.deepcopy(whole)
    split(again)
    join(again)
    assert whole.state_dict().keys() == again.state_dict().keys()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in whole.state_dict().items())
    assert [type(module) for module in whole.modules()] == [type(module) for module in again.modules()]


def test_other_families_are_left_alone():
    model = model_of("tiny-llama")
    before = [type(module) for module in model.modules()]
    split(model)
    assert before == [type(module) for module in model.modules()]


def test_an_update_must_be_merged_before_joining():
    model = model_of("tiny-gpt2")
    split(model)
    fused = model.get_submodule("transformer.h.0.attn.c_attn")
    fused.query = torch.nn.Sequential(fused.query)
    with pytest.raises(ValueError, match="merge it before"):
        join(model)
