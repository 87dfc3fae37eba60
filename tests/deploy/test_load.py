"""An exported folder is read only if it is whole and its manifest fits: every damage is named, nothing is unpickled."""

import json
import os
import shutil
import time

import pytest
import torch
from finished_runs import FinishedRuns, write
from safetensors.torch import load_file, save_file

import dsee_bench
from dsee_bench.cli.bench import run
from dsee_bench.deploy import manifest
from dsee_bench.runs import sweep


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A pruned model, compressed and with its adapter apart: a folder of every kind of file."""
    folder = tmp_path_factory.mktemp("exports")
    quick = ["backbone=tiny-bert", "train.max_rows=32", "train.epochs=1", "train.retune_epochs=1"]
    whole = [f"export={folder}/out", "export_adapter=apart", "export_storage=bitmask"]
    asked = ["method=dsee", *quick, *whole, f"results_dir={folder}"]
    assert run(sweep.resolved(asked), asked) == 0
    return folder / "out"


def _edit_manifest(folder, change):
    content = json.loads((folder / manifest.NAME).read_text())
    change(content)
    (folder / manifest.NAME).write_text(json.dumps(content))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


DAMAGES = [
    # what is done to the folder,                                              what load says
    (lambda f: (f / "manifest.json").unlink(), r"is no exported model: it has no manifest\.json"),
    (lambda f: _cut(f / "manifest.json"), "is damaged"),
    (lambda f: (f / "manifest.json").write_text('{"format": "other"}'), "is not of dsee-bench"),
    (lambda f: _edit_manifest(f, lambda c: c.update(version=9)), "has version 9, this release reads 3"),
    (lambda f: _edit_manifest(f, lambda c: c["files"].pop("config.json")), "its seal is broken"),
    (lambda f: _cut(f / "weights.safetensors"), "cut off or changed"),
    (lambda f: _flip(f / "weights.safetensors"), "its sha256 is another"),
    (lambda f: _flip(f / "adapter.safetensors"), "its sha256 is another"),
    (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_folder_is_refused(damage, message, exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    damage(folder)
    with pytest.raises(ValueError, match=message):
        dsee_bench.load(folder)


def _resealed(folder, change):
    def seal(content):
        change(content)
        content["seal"] = manifest.seal(content)

    _edit_manifest(folder, seal)


FORGED = [
    # what a forged manifest says,                                              what load says
    (lambda c: c["files"].update({"../x": {"bytes": 0, "sha256": ""}}), "lies outside the folder"),
    (lambda c: c.update(narrowed=True, spec={**c["spec"], "attention": [4, 5]}), "its configuration asks for"),
    (lambda c: c.update(narrowed=True, spec={**c["spec"], "attention": [4, 10**9]}), "is too small for"),
    (
        lambda c: c.update(narrowed=True, spec={**c["spec"], "attention": [4]}),
        "widths of 1 layers, the configuration has 2",
    ),
    (lambda c: c.update(narrowed=True, spec={**c["spec"], "queries_per_key": 0}), "ZeroDivisionError"),
    (lambda c: c["spec"]["weights"][0]["site"].update(kind="other"), r"spec\.weights\.0\.site\.kind: Input should be"),
    (lambda c: c["compressed"].append("bert.other.weight"), r"bert\.other\.weight in .* cannot be read"),
    (lambda c: c.pop("spec"), "lacks fields"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_a_forged_manifest_is_refused(change, message, exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    _resealed(folder, change)
    with pytest.raises(ValueError, match=message):
        dsee_bench.load(folder)


FOREIGN = [
    # what is put into the folder,                                              what load says
    (
        lambda f: (f / "pytorch_model.bin").write_bytes(b"not even a pickle"),
        r"model\.bin is a file that manifest\.json",
    ),
    (lambda f: (f / "adapter_model.bin").write_bytes(b"x"), r"adapter_model\.bin is a file that"),
    (lambda f: (f / "new" / "deep").mkdir(parents=True) or (f / "new" / "deep" / "x.py").touch(), r"x\.py is a file"),
    (lambda f: (f / "link").symlink_to(f / "config.json"), "link is a symbolic link that"),
    (lambda f: (f / "link").symlink_to("/nowhere"), "link is a symbolic link that"),
    (lambda f: os.mkfifo(f / "pipe"), "pipe is a named pipe that"),
    (lambda f: _linked(f / "config.json"), r"config\.json is a symbolic link or in one"),
    (lambda f: _linked(f / "adapter.json"), r"adapter\.json is a symbolic link or in one"),
]


def _linked(path):
    """The same content, behind a link."""
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


@pytest.mark.parametrize(("put", "message"), FOREIGN)
def test_what_the_manifest_does_not_name_is_refused(put, message, exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    put(folder)
    with pytest.raises(ValueError, match=message):
        dsee_bench.load(folder)


NESTED = json.loads("[" * 900 + "]" * 900)
ODD = [
    None,
    True,
    -1,
    0,
    10**10,
    10**400,
    1.5,
    1e300,
    "",
    "(a+)+$",
    "x" * 10_000,
    [],
    [[1]],
    {},
    {"a": {"b": 1}},
    NESTED,
]


@pytest.fixture(scope="module")
def content(exported):
    return {name: json.loads((exported / name).read_text()) for name in (manifest.NAME, *CONFIGS)}


CONFIGS = ("config.json", "adapter.json")


def _loads_or_refuses(folder, bound=10):
    """Seconds of the processor: what takes long hangs for larger numbers."""
    started = time.process_time()
    try:
        dsee_bench.load(folder)
        outcome, reason = "loaded", str(folder)
    except ValueError as error:
        outcome, reason = "refused", str(error)
    assert str(folder) in reason
    assert time.process_time() - started < bound
    return outcome


def test_every_field_of_the_manifest_has_its_type(exported, content, tmp_path):
    """Of every odd value in every field: refused, or of the field's own type (a backbone may be called "")."""
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    right = content[manifest.NAME]
    fields = [name for name in right if name not in ("seal", "files")]
    for field in fields:
        for value in [*ODD, "gone"]:
            changed = {**right, field: value}
            if value == "gone":
                del changed[field]
            changed["seal"] = manifest.seal(changed)
            (folder / manifest.NAME).write_text(json.dumps(changed))
            outcome = _loads_or_refuses(folder)
            assert outcome == "refused" or type(value) is type(right[field]) or (field, value) == ("run_id", None)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_field_of_a_configuration_may_be_odd(name, exported, content, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    outcomes = []
    for number, field in enumerate(content[name]):
        for value in ODD[number % 6 :: 6]:  # some each, all of them over the fields
            _replace(folder, name, {**content[name], field: value})
            outcomes.append(_loads_or_refuses(folder))
    assert outcomes.count("refused") > len(outcomes) / 4


def _replace(folder, name, value):
    """Write a file anew, and a manifest that fits: whoever makes a folder makes both."""
    (folder / name).write_text(json.dumps(value))
    _resealed(folder, lambda c: c["files"].update({name: manifest.describe(folder / name)}))


HOSTILE = [
    # file, settings, what load says
    ("config.json", {"num_hidden_layers": 10**6}, "num_hidden_layers=1000000, the weights have"),
    ("config.json", {"num_hidden_layers": 900}, "num_hidden_layers=900, the weights have"),
    (
        "config.json",
        {"dsee_bench": {"model_type": "gpt_neo"}, "num_layers": 10**6},
        "num_layers=1000000, the weights have",
    ),
    ("config.json", {"hidden_size": 10**9}, "."),
    ("config.json", {"vocab_size": 10**10}, "vocab_size to a number of 11 digits"),
    ("config.json", {"vocab_size": 10**9}, "too small for"),
    ("config.json", {"num_labels": 10**9, "id2label": None}, "sets num_labels"),
    ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}}, "sets auto_map"),
    ("config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}, "sets quantization_config"),
    ("config.json", {"attn_implementation": "someone/kernel"}, "sets attn_implementation"),
    ("config.json", {"torch_dtype": "save"}, "sets torch_dtype='save'"),
    ("config.json", {"dtype": "float8_e4m3fn"}, "exported models are in float32, bfloat16, float16"),
    ("config.json", {"dsee_bench": {"model_type": "mamba"}}, "has model_type 'mamba'; the families are "),
    ("config.json", {"dsee_bench": "mamba"}, "has model_type 'bert in the form"),
    ("config.json", {"dsee_bench": {"model_type": ["bert"]}}, "has model_type"),
    ("config.json", {"hidden_act": "no such"}, "cannot be used"),
    ("adapter.json", {"target_modules": "(a+)+$"}, "target_modules must be a list"),
    ("adapter.json", {"target_modules": ["(.*)*x"]}, "is no name"),
    ("adapter.json", {"exclude_modules": "(.*)*x"}, "exclude_modules must be a list"),
    ("adapter.json", {"r": 10**6}, "sets r=1e"),
    ("adapter.json", {"auto_mapping": {"parent_library": "os"}}, "sets auto_mapping"),
    ("adapter.json", {"peft_type": "PROMPT_TUNING"}, "has peft_type 'PROMPT_TUNING'; there is LORA"),
    ("adapter.json", {"peft_type": ["LORA"]}, "has peft_type"),
]


@pytest.mark.parametrize(("name", "settings", "message"), HOSTILE)
def test_a_hostile_configuration_is_refused_at_once(name, settings, message, exported, content, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    _replace(folder, name, {**content[name], **settings})
    started = time.process_time()
    with pytest.raises(ValueError, match=message):
        dsee_bench.load(folder)
    assert time.process_time() - started < 3


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A narrowed model, loaded and saved by its own save_pretrained."""
    folder = tmp_path_factory.mktemp("saved")
    run = FinishedRuns(folder / "runs")("dsee_structured")
    write(run, folder / "out")
    dsee_bench.load(folder / "out").save_pretrained(folder / "again")
    return folder / "again"


SAVED = [
    # what a forged config.json of a narrowed model says,        what load says
    ({"heads": [4, 10**9]}, "is too small for"),
    ({"heads": [4]}, "widths of 1 layers, the configuration has 2"),
    ({"heads": [3, 0]}, "."),
    ({"heads": [3, -1]}, "as whole numbers"),
    ({"heads": "no list"}, "as whole numbers"),
    ({"neurons": [1.5, 2]}, "as whole numbers"),
    ({"neurons": None}, "as whole numbers"),
    ({"columns": [[0], 1]}, "as whole numbers"),
    ({"model_type": "mamba"}, "has model_type 'mamba'"),
]


@pytest.mark.parametrize(("settings", "message"), SAVED)
def test_a_forged_configuration_of_a_saved_model_is_refused_at_once(settings, message, saved, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    config = json.loads((folder / "config.json").read_text())
    config["dsee_bench"] |= settings
    (folder / "config.json").write_text(json.dumps(config))
    started = time.process_time()
    with pytest.raises(ValueError, match=message) as refusal:
        dsee_bench.load(folder)
    assert str(folder) in str(refusal.value)
    assert time.process_time() - started < 3


def test_a_saved_model_without_weights_or_of_transformers_own_is_refused(saved, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"copy.* has no model\.safetensors"):
        dsee_bench.load(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match=r"is no exported model: it has no manifest\.json.*from_pretrained reads"):
        dsee_bench.load(folder)


def test_the_base_model_that_an_update_names_is_not_asked_for(exported, content, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    named = {**content[CONFIGS[1]], "base_model_name_or_path": "someone/else (2)"}
    _replace(folder, CONFIGS[1], named)
    assert _loads_or_refuses(folder) == "loaded"


@pytest.mark.parametrize("name", ["weights.safetensors", "adapter.safetensors"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(name, number, exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    tensors = load_file(folder / name)
    key = next(key for key, value in tensors.items() if value.is_floating_point() and value.numel())
    tensors[key].view(-1)[0] = number
    save_file(tensors, folder / name)
    _resealed(folder, lambda c: c["files"].update({name: manifest.describe(folder / name)}))
    with pytest.raises(ValueError, match="has entries that are NaN or infinite"):
        dsee_bench.load(folder)


JSONS = [
    ("[" * 100_000, "is damaged"),
    ('{"a": NaN}', "is damaged"),
    ('{"a": ' + "9" * 5000 + "}", "is damaged"),
    ("[]", "holds no JSON object"),
    (r'{"a": "\ud800"}', "is damaged"),
]


@pytest.mark.parametrize("name", [manifest.NAME, *CONFIGS])
@pytest.mark.parametrize(("text", "message"), JSONS)
def test_what_is_no_json_of_ours_is_refused(name, text, message, exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / name).write_text(text)
    if name != manifest.NAME:
        _resealed(folder, lambda c: c["files"].update({name: manifest.describe(folder / name)}))
    with pytest.raises(ValueError, match=message):
        dsee_bench.load(folder)


def test_loading_leaves_the_random_state_alone(exported):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    dsee_bench.load(exported)
    assert torch.equal(torch.rand(1), expected)
