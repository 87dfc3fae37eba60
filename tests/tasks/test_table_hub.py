"""Data sets of the hub, served by the stand-in over HTTP: configurations, splits, classes, files; and without network.

The hub's client reads its settings when it is imported, so the cases run in a process of their own, many in each.
"""

import io
import json
import subprocess
import sys

import pytest
from datasets import ClassLabel, Dataset, Features, Value
from standin_hub import COMMIT, Repo, StandIn, environment

READ = """
import json, sys
from dsee_bench import plan
from dsee_bench.runs import sweep
for line in sys.stdin:
    words = json.loads(line)
    try:
        settings = plan.read(sweep.resolved(["method=lora", "train.epochs=1", *words]))
        planned = plan.plan(settings)
        found = {"run_id": settings.run_id, "task": settings.config["task"], "steps": planned.steps[-1].steps}
        if "plan=true" not in words:
            data = {name: split.examples for name, split in settings.load_data().items()}
            found["data"] = {name: [[list(row.texts), row.label] for row in rows] for name, rows in data.items()}
        print(json.dumps(found))
    except (ValueError, OSError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
"""


def read_all(commands, endpoint, home, **more):
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input="\n".join(json.dumps(words) for words in commands),
        env=environment(endpoint, home, **more),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


NLI = Features(
    premise=Value("string"),
    hypothesis=Value("string"),
    label=ClassLabel(names=["entailment", "neutral", "contradiction"]),
)


def parquet(count, first=0, features=NLI):
    """`count` numbered pairs; the label of pair n is n % 3."""
    numbers = range(first, first + count)
    rows = {
        "premise": [f"premise {n}" for n in numbers],
        "hypothesis": [f"hypothesis {n}" for n in numbers],
        "label": [n % 3 for n in numbers],
    }
    stream = io.BytesIO()
    Dataset.from_dict(rows, features=features).to_parquet(stream)
    return stream.getvalue()


CARD = """---
license: mit
configs:
- config_name: pairs
  data_files:
  - split: train
    path: pairs/train-*
  - split: validation
    path: pairs/validation-*
- config_name: words
  data_files:
  - split: train
    path: words.csv
- config_name: lines
  data_files:
  - split: train
    path: lines.jsonl
  - split: dev
    path: lines.jsonl
- config_name: semicolons
  sep: ";"
  data_files: semicolons.csv
dataset_info:
- config_name: pairs
  splits:
  - name: train
    num_examples: 9
  - name: validation
    num_examples: 3
- config_name: lines
  features:
  - name: text
    dtype: string
  - name: mood
    dtype:
      class_label:
        names:
          '0': sad
          '1': glad
  splits:
  - name: train
    num_examples: 2
---
# What it is
"""
FILES = {
    "README.md": CARD.encode(),
    "script.py": b"raise SystemExit('a script is never run')",
    "pairs/train-00000-of-00002.parquet": parquet(5),
    "pairs/train-00001-of-00002.parquet": parquet(4, first=5),
    "pairs/validation-00000-of-00001.parquet": parquet(3, first=100),
    "pairs/test-00000-of-00001.parquet": b"not asked for",
    "words.csv": b'text,label\n"good, very",yes\nbad,no\nso so,no\nfine,yes\n',
    "lines.jsonl": b'{"text": "a", "mood": 1}\n{"text": "b", "mood": -1}\n{"text": "c", "mood": "sad"}\n',
    "semicolons.csv": b"text;label\na;1\nb;2\nc;10\nd;2\n",
}
PLAIN = {  # no card: splits are told by the names of files
    "train.jsonl": b'{"text": "a", "label": true}\n{"text": "b", "label": false}\n',
    "test.jsonl": b'{"text": "c", "label": true}\n',
}
CONVERTED = {  # the hub's own branch of parquet files: a folder for each configuration, and no card
    "copa/train/0000.parquet": parquet(4),
    "copa/validation/0000.parquet": parquet(2, first=50),
    "boolq/train/0000.parquet": b"not asked for",
}
SCRIPT = {"README.md": b"---\nlicense: mit\n---\n", "data.py": b"raise SystemExit"}


def data_sets():
    return (
        Repo("some/nli", FILES, branches=("main", "v1")),
        Repo("some/plain", PLAIN, branches=("main",)),
        Repo("some/converted", CONVERTED, branches=("refs/convert/parquet",)),
        Repo("some/script", SCRIPT, branches=("main",)),
    )


PAIRS = ["task=hub", "task.hub=some/nli", "task.config=pairs", "task.texts=[premise,hypothesis]"]


def numbered(*numbers):
    return [[[f"premise {n}", f"hypothesis {n}"], n % 3] for n in numbers]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that holds the pairs, and what the first run with them found."""
    home = tmp_path_factory.mktemp("home")
    with StandIn(*data_sets()) as hub:
        (found,) = read_all([PAIRS], hub.endpoint, home)
        asked = [path for method, path, _ in hub.asked if method == "GET" and "/resolve/" in path]
    return home, found, asked


def test_shards_classes_and_commit(cache):
    _, found, asked = cache
    assert found["task"]["labels"] == ["entailment", "neutral", "contradiction"]
    assert found["task"]["revision"] == COMMIT
    assert found["run_id"].startswith("nli-pairs-minilm-lora-s0-")
    assert found["task"]["rows"] == {"train": 9, "dev": 3}
    assert found["task"]["split"] == {"train": "train", "dev": "validation", "test": None}
    assert found["steps"] == 1, "9 rows are one batch"
    assert found["data"] == {"train": numbered(*range(9)), "dev": numbered(100, 101, 102)}
    assert not [path for path in asked if "test-" in path or "script" in path or "words" in path]


def test_the_cache_serves_without_network(cache):
    home, online, _ = cache
    branch, commit = read_all(
        [PAIRS, [*PAIRS, f"task.revision={COMMIT}"]], "http://127.0.0.1:9", home, HF_HUB_OFFLINE="1"
    )
    assert branch == commit == online


def test_layouts_of_repositories(tmp_path):
    words = ["task=hub", "task.hub=some/nli", "task.texts=[text]"]
    commands = [
        [*words, "task.config=words", 'task.split.dev="train[75%:]"'],
        [*words, "task.config=lines", "task.label=mood"],
        [*words, "task.config=semicolons", 'task.split.train="train[:1]+train[2:]"', 'task.split.dev="train[1:2]"'],
        ["task=hub", "task.hub=some/plain", "task.texts=[text]", "task.split.dev=test"],
        [*PAIRS, "task.revision=v1", 'task.split.train="train[-2:]"', 'task.split.test="validation[:1]"'],
        [
            "task=custom",
            "task.hub=some/nli",
            "task.train=pairs/train-*.parquet",
            "task.dev=pairs/validation-*.parquet",
            "task.texts=[premise]",
            "task.label_as=index",
            "task.labels=[entailment,neutral,contradiction]",
        ],
    ]
    with StandIn(*data_sets()) as hub:
        sliced, lines, semicolons, plain, parts, files = read_all(commands, hub.endpoint, tmp_path)
    assert sliced["task"]["labels"] == ["no", "yes"], "found in the training rows, sorted"
    assert sliced["data"] == {
        "train": [[["good, very"], 1], [["bad"], 0], [["so so"], 0]],
        "dev": [[["fine"], 1]],
    }, "train leaves out what dev takes"
    assert lines["task"]["labels"] == ["sad", "glad"]
    assert lines["data"]["train"] == [[["a"], 1], [["c"], 0]], "-1 is no label"
    assert semicolons["task"]["labels"] == ["1", "2", "10"], "numbers by size"
    assert semicolons["data"] == {"train": [[["a"], 0], [["c"], 2], [["d"], 1]], "dev": [[["b"], 1]]}
    assert plain["task"]["labels"] == ["false", "true"]
    assert plain["data"] == {"train": [[["a"], 1], [["b"], 0]], "dev": [[["c"], 1]]}
    assert parts["data"]["train"] == numbered(7, 8)
    assert parts["data"]["test"] == numbered(100)
    assert [len(split) for split in files["data"].values()] == [9, 3]


def test_the_branch_of_converted_files(tmp_path):
    words = ["task=hub", "task.hub=some/converted", "task.config=copa", "task.revision=refs/convert/parquet"]
    with StandIn(*data_sets()) as hub:
        (online,) = read_all([[*words, "task.texts=[premise]"]], hub.endpoint, tmp_path)
    (offline,) = read_all([[*words, "task.texts=[premise]"]], "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert online == offline
    assert online["task"]["revision"] == COMMIT
    assert {name: len(rows) for name, rows in online["data"].items()} == {"train": 4, "dev": 2}


def test_mistakes(tmp_path):
    nli = ["task=hub", "task.hub=some/nli"]
    cases = [
        (["task=hub"], "task.hub"),
        (nli, "it has several configurations; choose one by task.config: lines, pairs, semicolons, words"),
        ([*nli, "task.config=pair"], "task.config=pair is none of its configurations; there are lines, pairs"),
        ([*nli, "task.config=words", "task.texts=[text]"], "has no dev split; two ways out: task.split.dev=EXPRESSION"),
        ([*PAIRS, "task.split.dev=dev"], "'dev' is no split and no file"),
        ([*PAIRS, "task.revision=v9"], "has no revision 'v9' on the hub"),
        ([*PAIRS, "task.label=answer"], "no column 'answer'; the columns are premise, hypothesis, label"),
        ([*PAIRS, "task.labels=[yes,no,maybe]"], "has the classes ['entailment', 'neutral', 'contradiction']"),
        (["task=hub", "task.hub=some/script"], "holds no rows that can be read"),
        (["task=hub", "task.hub=some/nothing"], "there is no data set 'some/nothing' on the hub"),
        ([*nli, "task.config=pairs", "task.texts=[premise]", 'task.split.dev="train[a:]"'], "train[a:]"),
        ([*nli, "task.config=pairs", "task.texts=[premise]", 'task.split.dev="train[:200%]"'], "train[:200%]: "),
    ]
    with StandIn(*data_sets()) as hub:
        found = read_all([words for words, _ in cases], hub.endpoint, tmp_path)
    for (words, message), said in zip(cases, found, strict=True):
        assert message in said.get("error", "no error"), words


def test_a_plan_without_network(tmp_path):
    given = ["task.labels=[a,b]", "task.rows={train: 320, dev: 64}", "train.batch_size=32", "plan=true"]
    words = ["task=hub", "task.hub=some/thing", "task.texts=[text]"]
    known, unknown, other = read_all(
        [[*words, *given], [*words, "plan=true"], [*words, "task.labels=[a,b]"]],
        "http://127.0.0.1:9",
        tmp_path,
        HF_HUB_OFFLINE="1",
    )
    assert known["steps"] == 10
    assert known["task"]["revision"] == "main"
    assert "some/thing at main is not in the cache and HF_HUB_OFFLINE is set" in unknown["error"]
    assert "is not in the cache" in other["error"]


def test_a_folder_with_a_copy_of_a_repository(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    words = [word.replace("some/nli", str(tmp_path / "copy")) for word in PAIRS]
    (found,) = read_all([words], "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1")
    assert found["data"] == {"train": numbered(*range(9)), "dev": numbered(100, 101, 102)}
