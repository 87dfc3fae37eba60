"""Secrets planted wherever one can be are in nothing that is printed or written; and what each of the rules knows."""

import os
import subprocess
import sys

import pytest
from standin_hub import Repo, StandIn, environment

from dsee_bench.system import secrets

PLANTED = "pl4nted5ecret"
RULES = [
    # environment,                                          words, text, what is printed, why
    ({"HF_TOKEN": "hf_abcdef"}, [], "got hf_abcdef!", "got ***!", "a variable whose name says so"),
    ({"TOKENIZERS_PARALLELISM": "falsely"}, [], "falsely", "falsely", "one whose name only begins so"),
    ({"PWD": "/home/me/dir"}, [], "/home/me/dir", "/home/me/dir", "the working folder"),
    ({"A_KEY": "1"}, [], "1 row", "1 row", "too short to be one"),
    ({}, [], "http://me:pass@host/x", "http://***@host/x", "a login in any URL"),
    ({}, [], "http://me:p@ss@host/x", "http://***@host/x", "an @ in the password"),
    ({}, [], "http://host:8080/x and a@b", "http://host:8080/x and a@b", "a port is no login"),
    ({"HTTPS_PROXY": "me:pa%40word@host:1"}, [], "pa@word or pa%40word", "*** or ***", "the password alone"),
    ({}, ["+token=abcdefg"], "'abcdefg' is no", "'***' is no", "a key whose name says so"),
    ({}, ["+a.api_key=abcdefg"], "abcdefg", "***", "a nested one"),
    ({}, ["+x={password: abcdefg}"], "{password: abcdefg}", "{password: ***}", "inside a value"),
    ({}, ["train.name=demo_run"], "demo_run", "demo_run", "any other key"),
    ({"MINE": "abcdefg"}, ["train.name=${oc.env:MINE}"], "abcdefg", "${oc.env:MINE}", "the text as it was typed"),
    ({"MINE": "/scratch"}, ["results_dir=${oc.env:MINE}"], "/scratch/x", "/scratch/x", "where files lie is told"),
]


@pytest.mark.parametrize(("environment", "words", "text", "printed", "why"), RULES)
def test_rules(environment, words, text, printed, why, monkeypatch):
    monkeypatch.setattr(secrets, "_WORDS", {})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    secrets.learn(words)
    assert secrets.starred(text) == printed, why


QUICK = ["task=toy_pairs", "backbone=tiny-bert", "method=full", "threads=1", "train.max_rows=32", "train.epochs=1"]
QUICK += ["task.rows.dev=16"]
COMMANDS = [
    # words after dsee-bench,                         exit code,  why
    ([*QUICK, "tracking.mode=offline"], 0, "a run that ends well"),
    ([*QUICK, "seed=1"], 1, "one that fails with secrets in its error"),
    (["-m", *QUICK, "seed=2,3"], 0, "a sweep"),
    ([*QUICK, f"+token={PLANTED}"], 1, "refused: an unknown key"),
    ([*QUICK, f"+extra.password={PLANTED}"], 1, "the same, nested"),
    ([*QUICK, f"task.tokn={PLANTED}"], 1, "refused: a misspelt key"),
    ([*QUICK, "seed=${oc.env:MINE}"], 1, "refused: of the wrong type"),
    ([*QUICK, "task.name=${oc.env:MINE}"], 1, "refused: it would be in the run's name"),
    ([*QUICK, "seed=4", "train.name=${oc.env:MINE}"], 0, "taken, and recorded as it was typed"),
    (["fetch", "task=rte", "backbone=tiny-bert"], 1, "a hub that lacks the data set"),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_artefact_has_a_planted_secret(tmp_path):
    """A stand-in for the hub with a login in its address, proxies with one, keys of the hub and of wandb."""
    said = ""
    with StandIn(Repo("a/data-set", {"x": b"y"})) as hub:
        endpoint = hub.endpoint.replace("://", f"://me:{PLANTED}@")
        given = environment(endpoint, tmp_path / "home") | {
            "HTTPS_PROXY": f"http://me:{PLANTED}@127.0.0.1:9",
            "HF_TOKEN": f"hf_{PLANTED}",
            "WANDB_API_KEY": PLANTED * 4,
            "MINE": PLANTED,
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": os.pathsep.join(
                [os.path.join(os.path.dirname(__file__), "fails_at_seed_1"), os.environ.get("PYTHONPATH", "")]
            ),
        }
        for words, code, why in COMMANDS:
            words = words if words[0] == "fetch" else [*words, f"results_dir={tmp_path / 'results'}"]
            command = [sys.executable, "-m", "dsee_bench.cli.bench", *words]
            done = subprocess.run(command, capture_output=True, text=True, env=given, timeout=400)
            said += done.stdout + done.stderr
            assert PLANTED not in done.stdout + done.stderr, (why, done.stderr[-500:])
            assert done.returncode == code, (why, done.stderr[-500:])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".json"]) > 5
    assert [path for path in files if PLANTED.encode() in path.read_bytes()] == []
    assert "***" in said
