"""MPNet after heads are removed: an exported model takes the same columns of the shared table."""

from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf

from dsee_bench import config
from dsee_bench.adapters.removal import remove
from dsee_bench.config import validate
from dsee_bench.models.position_bias import set_columns

NODE = OmegaConf.to_container(OmegaConf.load(config.CONF / "backbone" / "tiny-mpnet.yaml"))


def narrowed(*heads):
    """A model and its spec with these heads of four in its two layers."""
    backbone = validate.build(NODE, "backbone")
    torch.manual_seed(0)
    model = backbone.load(2, regression=False).model.eval()
    torch.nn.init.normal_(model.mpnet.encoder.relative_attention_bias.weight)
    ffn = [torch.arange(64)] * 2
    return model, remove(model, backbone.spec(2), {}, [torch.tensor(kept) for kept in heads], ffn)


def test_the_columns_make_the_same_model_again():
    model, spec = narrowed([1, 3], [0, 2, 3])
    assert spec.head_columns == ((1, 3), (0, 2, 3))
    twice = remove(model, spec, {}, [torch.tensor([1]), torch.tensor([0, 2])], [torch.arange(64)] * 2)
    assert twice.head_columns == ((3,), (0, 3)), "places count among the heads that were left"
    again, _ = narrowed([0], [0, 1])
    again.load_state_dict(model.state_dict())
    ids = torch.randint(5, 600, (2, 9), generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(again(ids).logits, model(ids).logits)
    set_columns(again, twice)
    assert torch.equal(again(ids).logits, model(ids).logits)


@pytest.mark.parametrize("columns", [((9,), (0, 3)), ((0, 1), (0, 3)), ((-1,), (0, 3))])
def test_columns_that_the_table_lacks_are_refused(columns):
    model, spec = narrowed([3], [0, 3])
    with pytest.raises(ValueError, match="layer 0 has 1 heads in the columns"):
        set_columns(model, replace(spec, head_columns=columns))
