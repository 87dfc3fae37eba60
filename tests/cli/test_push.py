"""`dsee-bench push` against a stand-in for the hub, over HTTP; the token is never printed."""

import subprocess
import sys

import pytest
from finished_runs import QUICK
from standin_hub import Repo, StandIn, environment, nobody

import dsee_bench
from dsee_bench.cli.bench import run
from dsee_bench.runs import sweep

TOKEN = "hf_secretsecretsecret"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Two exports of one method: narrowed, and with its adapter apart."""
    folder = tmp_path_factory.mktemp("exports")
    for name, method in (("narrowed", "dsee_structured"), ("apart", "lora")):
        asked = [*QUICK, f"method={method}", "backbone=tiny-bert", f"results_dir={folder}", f"export={folder}/{name}"]
        asked += ["export_adapter=apart"] if name == "apart" else []
        assert run(sweep.resolved(asked), asked) == 0
    return folder


def push(endpoint, home, *words, token=TOKEN, **variables):
    variables |= {"HF_TOKEN": token} if token else {}
    env = environment(endpoint, home, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1", **variables)
    if not token:
        env.pop("HF_TOKEN", None)
    command = [sys.executable, "-m", "dsee_bench.cli.bench", "push", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert TOKEN not in done.stdout + done.stderr
    return done


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_export_is_pushed_and_loads_again(exports, tmp_path):
    with StandIn(token=TOKEN) as hub:
        first = push(hub.endpoint, tmp_path, exports / "narrowed", "me/model", "--private", "--message", "the first")
        assert first.returncode == 0, first.stderr
        assert first.stdout.strip().startswith(f"{hub.endpoint}/me/model/commit/")
        (repo,) = hub.repos
        assert repo.private
        assert repo.files == files_of(exports / "narrowed")
        assert repo.messages == ["the first"]
        repo.files |= {"figure.png": b"mine", ".gitattributes": b"*"}
        second = push(hub.endpoint, tmp_path, exports / "apart", "me/model", "--revision", "v2")
        assert second.returncode == 0, second.stderr
        mine = {"figure.png": b"mine", ".gitattributes": b"*"}
        assert repo.files == files_of(exports / "apart") | mine  # no weights of the first are left
        assert "v2" in repo.branches
        assert repo.messages[1].startswith("dsee-bench: toy_pairs-tiny-bert-lora-s0-")
        del repo.files["figure.png"]
        fetch = (
            "import huggingface_hub, dsee_bench, sys; d = sys.argv[1]; "
            "huggingface_hub.snapshot_download('me/model', local_dir=d); print(dsee_bench.load(d).config.num_labels)"
        )
        env = environment(hub.endpoint, tmp_path, HF_HUB_DISABLE_XET="1")
        again = subprocess.run(
            [sys.executable, "-c", fetch, str(tmp_path / "again")], capture_output=True, text=True, env=env
        )
        assert again.returncode == 0, again.stderr
        assert again.stdout.strip() == "2"


REFUSED = [
    # the words after push,       token,  what is said
    (["{}/none", "me/model"], TOKEN, "there is no folder"),
    (["{}", "me/model"], TOKEN, r"is no exported model: it has no manifest.json"),
    (["{}/apart", "model"], TOKEN, "'model' is no name of a repository; give OWNER/NAME"),
    (["{}/apart", "me/mo del"], TOKEN, "'me/mo del' is no name of a repository"),
    (["{}/apart", "a/b/c"], TOKEN, "'a/b/c' is no name of a repository"),
    (["{}/apart", "me/model"], None, "no token for the hub; log in by `hf auth login`, or set HF_TOKEN"),
    (["{}/apart", "me/model"], "hf_other", "me/model was not pushed: the hub does not know the token"),
    (["{}/apart", "nobody/model"], TOKEN, "the token may not write to nobody's model; take one with write access"),
    (["{}/apart", "me/public", "--private"], TOKEN, "me/public is there and public"),
]


@pytest.mark.parametrize(("words", "token", "message"), REFUSED)
def test_what_is_wrong_is_said_on_one_line(words, token, message, exports, tmp_path):
    with StandIn(Repo("me/public", {}, kind="model"), token=TOKEN) as hub:
        done = push(hub.endpoint, tmp_path, *(word.format(exports) for word in words), token=token)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert all(not repo.files for repo in hub.repos)


def test_without_a_hub_it_says_so(exports, tmp_path):
    for variables, message in (({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"), ({}, "cannot be reached")):
        done = push(nobody(), tmp_path, exports / "apart", "me/model", **variables)
        assert done.returncode == 1
        assert message in done.stderr


def test_a_damaged_export_is_not_pushed(exports, tmp_path):
    import shutil

    shutil.copytree(exports / "apart", tmp_path / "copy")
    (tmp_path / "copy" / "adapter_config.json").write_text("{}")
    with StandIn(token=TOKEN) as hub:
        done = push(hub.endpoint, tmp_path, tmp_path / "copy", "me/model")
    assert "cut off or changed" in done.stderr
    assert not hub.repos
    assert dsee_bench.load(exports / "apart").config.num_labels == 2
