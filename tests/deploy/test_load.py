"""An exported folder is read only if it is whole and its manifest fits: every damage is named, nothing is unpickled."""

import json
import shutil

import pytest
import torch

import dsee_bench
from dsee_bench.deploy import manifest
from dsee_bench.run import run
from dsee_bench.sweeps import sweep


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A pruned model, compressed and with its update apart: a folder of every kind of file."""
    folder = tmp_path_factory.mktemp("exports")
    quick = ["backbone=tiny-bert", "train.max_rows=32", "train.epochs=1", "train.retune_epochs=1"]
    whole = [f"export={folder}/out", "export_update=apart", "export_storage=bitmask"]
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
    (lambda f: _edit_manifest(f, lambda c: c.update(version=9)), "has version 9, this release reads 1"),
    (lambda f: _edit_manifest(f, lambda c: c["heads"].pop()), "its seal is broken"),
    (lambda f: _cut(f / "weights.safetensors"), "cut off or changed"),
    (lambda f: _flip(f / "weights.safetensors"), "its sha256 is another"),
    (lambda f: _flip(f / "adapter" / "adapter_model.safetensors"), "its sha256 is another"),
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
        content["seal"] = manifest._seal(content)

    _edit_manifest(folder, seal)


FORGED = [
    # what a forged manifest says,                                              what load says
    (lambda c: c["files"].update({"../x": {"bytes": 0, "sha256": ""}}), "lies outside the folder"),
    (lambda c: c["parameters"].update({"bert.pooler.dense.weight": [64, 32]}), "has no room for"),
    (lambda c: c["attributes"].update({"bert.pooler": {"forward": 1}}), "which is no number of that module"),
    (lambda c: c["attributes"].update({"bert.other": {"x": 1}}), r"a module bert\.other, which the model lacks"),
    (lambda c: c["compressed"].append("bert.other.weight"), r"bert\.other\.weight in .* cannot be read"),
    (lambda c: c.pop("heads"), "lacks fields"),
]


@pytest.mark.parametrize(("change", "message"), FORGED)
def test_a_forged_manifest_is_refused(change, message, exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    _resealed(folder, change)
    with pytest.raises(ValueError, match=message):
        dsee_bench.load(folder)


def test_a_pickle_beside_the_weights_is_never_opened(exported, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    for name in ("pytorch_model.bin", "adapter/adapter_model.bin"):
        (folder / name).write_bytes(b"not even a pickle")
    dsee_bench.load(folder)


def test_loading_leaves_the_random_state_alone(exported):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    dsee_bench.load(exported)
    assert torch.equal(torch.rand(1), expected)
