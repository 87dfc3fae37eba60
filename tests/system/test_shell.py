"""Paths mean what they mean in a shell, in settings, in words for Hydra and as arguments."""

import argparse
import subprocess

import pytest
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.config import ConfigError
from dsee_bench.system import shell

PATHS = [
    # written,            meant, with HOME=/home/me and DATA=/data
    ("~", "/home/me"),
    ("~/out", "/home/me/out"),
    ("$HOME/out", "/home/me/out"),
    ("${HOME}/out", "/home/me/out"),
    ("$DATA/a$DATA", "/data/a/data"),
    ("a~b/c~", "a~b/c~"),
    ("cost$/5", "cost$/5"),
    ("/plain", "/plain"),
]


@pytest.mark.parametrize(("written", "meant"), PATHS)
def test_a_path_means_what_it_means_in_a_shell(written, meant, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("DATA", "/data")
    assert str(shell.shell_path(written, "data_dir")) == meant
    told = subprocess.run(["sh", "-c", f"printf %s {written}"], capture_output=True, text=True, check=True).stdout
    assert told == meant


UNKNOWN = [
    ("$NO_SUCH_NAME/x", r"data_dir=\$NO_SUCH_NAME/x: the environment variable NO_SUCH_NAME is not set"),
    ("${NO_SUCH_NAME}", "NO_SUCH_NAME is not set; set it, or write out the path"),
    ("~no-such-user-here/x", "no home folder of ~no-such-user-here"),
    ("", "is no path"),
    ("a\0b", "is no path"),
]


@pytest.mark.parametrize(("written", "message"), UNKNOWN)
def test_what_a_shell_does_not_know_is_named(written, message):
    with pytest.raises(ValueError, match=message):
        shell.shell_path(written, "data_dir")


def test_an_argument_is_refused_with_the_reason():
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--results", type=shell.argument_path)
    with pytest.raises(argparse.ArgumentError, match="NO_SUCH_NAME is not set"):
        parser.parse_args(["--results", "$NO_SUCH_NAME"])


WORDS = [
    # word of a command,              setting as composed,      why
    ("export=~/x", "~/x", "Hydra takes a bare ~ for a mistake"),
    ("export=${HOME}/a b", "${HOME}/a b", "not a setting of that name"),
    ("export='${HOME}x'", "${HOME}x", "quoted already"),
    ("export=$HOME/x", "$HOME/x", "Hydra takes it as it is"),
    ("export=${oc.env:HOME}", "/home/me", "OmegaConf's own way stays"),
]


@pytest.mark.parametrize(("word", "composed", "why"), WORDS)
def test_paths_reach_the_settings(word, composed, why, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    (quoted,) = shell.as_in_a_shell([word])
    resolved = OmegaConf.to_container(config.compose([quoted]), resolve=True)
    assert resolved["export"] == composed, why
    assert str(plan.read(resolved).launch.export).startswith("/home/me")
    assert shell.as_in_a_shell([quoted]) == [quoted]


@pytest.mark.parametrize("key", ["data_dir", "results_dir", "export", "backbone.path"])
def test_an_unset_variable_in_a_setting_is_named(key):
    resolved = OmegaConf.to_container(config.compose([f"{key}=$NO_SUCH_NAME/x"]), resolve=True)
    with pytest.raises(ConfigError, match=rf"{key}=\$NO_SUCH_NAME/x: the environment variable NO_SUCH_NAME is not set"):
        plan.read(resolved)
