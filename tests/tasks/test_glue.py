"""GLUE: the release's files and the hub's parquet files give the same rows, and what is wrong is named."""

import dataclasses
import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from dsee_bench.config import CONF, ConfigError, option
from dsee_bench.config.validate import build
from dsee_bench.tasks.glue import Glue

NAMES = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte", "wnli")


def task(name: str, **changes: object) -> Glue:
    node = option("task", name)
    return build({**node, **changes}, "task")


def with_files(name: str, **files: str) -> Glue:
    """A task whose release has other file names, by split."""
    whole = task(name)
    return dataclasses.replace(whole, tsv=dataclasses.replace(whole.tsv, files=files))


# --- the release's files ----------------------------------------------------------------------------------------------

# Counted over the official files, and checked against copies in unrelated repositories, when they were collected.
LABELS = [
    # task, split, label -> rows
    ("cola", "train", {0: 2528, 1: 6023}),
    ("cola", "dev", {0: 322, 1: 721}),
    ("sst2", "train", {0: 29780, 1: 37569}),
    ("sst2", "dev", {0: 428, 1: 444}),
    ("mrpc", "train", {0: 1194, 1: 2474}),
    ("mrpc", "dev", {0: 129, 1: 279}),
    ("rte", "train", {0: 1249, 1: 1241}),
    ("rte", "dev", {0: 146, 1: 131}),
    ("wnli", "train", {0: 323, 1: 312}),
    ("wnli", "dev", {0: 40, 1: 31}),
]
COMPLETE = ("cola", "sst2", "mrpc", "stsb", "rte", "wnli")  # QNLI's train and all of QQP and MNLI are not at hand


@pytest.fixture(scope="module")
def splits(real_data):
    return {name: task(name).load(real_data / "glue", seed=0) for name in COMPLETE}


@pytest.mark.parametrize("name", COMPLETE)
def test_rows_are_the_releases(name, splits):
    assert {split: len(content) for split, content in splits[name].items()} == task(name).rows


def test_files_of_another_size_are_told_of(tmp_path, caplog):
    folder = tmp_path / "RTE"
    folder.mkdir()
    line = "0\tA cat.\tAn animal.\tentailment\n"
    for name in ("train", "dev"):
        (folder / f"{name}.tsv").write_text("index\tsentence1\tsentence2\tlabel\n" + line * 277)
    caplog.set_level("INFO")
    task("rte").load(tmp_path, seed=0)
    assert caplog.messages == ["  note: train of rte has 277 rows here, 2,490 as published"]


@pytest.mark.parametrize(("name", "split", "counts"), LABELS)
def test_label_counts(name, split, counts, splits):
    assert Counter(example.label for example in splits[name][split].examples) == counts


def test_stsb_scores_are_numbers_from_0_to_5(splits):
    scores = [example.label for split in splits["stsb"].values() for example in split.examples]
    assert all(isinstance(score, float) for score in scores)
    assert (min(scores), max(scores)) == (0.0, 5.0)
    assert 2.1111112 in scores, "2.11111111111111 in the file, to single precision"


def test_texts_are_kept_as_they_stand(splits):
    first = splits["mrpc"]["dev"].examples[0]
    assert first.texts[1] == '" The foodservice pie business does not fit our long-term growth strategy .'
    assert splits["sst2"]["dev"].examples[0].texts == ("it 's a charming and often affecting journey . ",)
    assert splits["cola"]["train"].examples[0].texts[0].startswith("Our friends won't buy this analysis")


def test_qnli_dev(real_data):
    dev = with_files("qnli", train="QNLI/dev.tsv", dev="QNLI/dev.tsv").load(real_data / "glue", seed=0)["dev"]
    assert len(dev) == task("qnli").rows["dev"]
    assert Counter(example.label for example in dev.examples) == {0: 2702, 1: 2761}


@pytest.mark.parametrize(("name", "classes"), [("mnli", 3), ("qqp", 2), ("qnli", 2)])
def test_samples_of_the_large_tasks(name, classes, real_data):
    """Sixteen rows a class in the columns of the release's train.tsv: MNLI has twelve there."""
    folder = real_data / "glue-subsets" / "k-shot" / task(name).tsv.files["train"].split("/")[0] / "16-13"
    loaded = with_files(name, train="train.tsv", dev="train.tsv").load(folder, seed=0)
    assert Counter(example.label for example in loaded["train"].examples) == dict.fromkeys(range(classes), 16)


def test_mnli_labels_are_those_of_an_independent_export(real_data):
    """Rows that are both in the sample and in an export as JSON (text_a, text_b, label as a word)."""
    exported = json.loads(gzip.decompress((real_data / "glue-subsets" / "MNLI" / "train.json.gz").read_bytes()))
    words = {(row["text_a"], row["text_b"]): row["label"] for row in exported.values()}
    sample = with_files("mnli", train="train.tsv", dev="dev_matched.tsv")
    loaded = sample.load(real_data / "glue-subsets" / "k-shot" / "MNLI" / "16-13", seed=0)
    seen = [example for split in loaded.values() for example in split.examples if example.texts in words]
    assert seen, "no row is in both files"
    assert [sample.labels[example.label] for example in seen] == [words[example.texts] for example in seen]


def test_mnli_dev_has_sixteen_columns_and_two_files(tmp_path):
    head = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
    train = f"{head} sentence1 sentence2 label1 gold_label".split()
    dev = f"{head} sentence1 sentence2 label1 label2 label3 label4 label5 gold_label".split()
    row = [*"01234567", "A man sleeps.", "Nobody sleeps."]
    write(tmp_path, "MNLI/train.tsv", train, [*row, "neutral", "contradiction"])
    write(tmp_path, "MNLI/dev_matched.tsv", dev, [*row, *["neutral"] * 5, "entailment"])
    write(tmp_path, "MNLI/dev_mismatched.tsv", dev, [*row, *["neutral"] * 5, "neutral"])
    loaded = task("mnli").load(tmp_path, seed=0)
    assert {split: content.examples[0].label for split, content in loaded.items()} == {
        "train": 2, "dev": 0, "dev_mismatched": 1,
    }  # fmt: skip


def write(folder: Path, name: str, *rows: list[str]) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


# --- the hub's files --------------------------------------------------------------------------------------------------


def write_as_on_the_hub(name: str, source: Path, target: Path) -> None:
    """Parquet files in the hub's layout, made from the release's by pandas, not by our reader."""
    import csv

    import pandas as pd
    from datasets import ClassLabel, Dataset, Features, Value

    one = task(name)
    for split, pattern in one.hub.files.items():
        header = {"header": None, "names": one.tsv.columns} if one.tsv.columns else {}
        options = {"sep": "\t", "quoting": csv.QUOTE_NONE, "keep_default_na": False, "encoding": "utf-8-sig"}
        frame = pd.read_csv(source / one.tsv.files[split], dtype=str, **options, **header)
        columns = {new: frame[old] for new, old in zip(one.hub.texts, one.tsv.texts, strict=True)}
        label = frame[one.tsv.label]
        if one.kind == "regression":
            columns["label"], kind = label.astype("float32"), Value("float32")
        else:
            columns["label"], kind = label.map(list(one.tsv.written).index), ClassLabel(names=list(one.labels))
        columns["idx"] = range(len(frame))
        features = Features({**{text: Value("string") for text in one.hub.texts}, "label": kind, "idx": Value("int32")})
        path = target / pattern.replace("*", "00000-of-00001")
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_pandas(pd.DataFrame(columns), features=features, preserve_index=False).to_parquet(path)


def write_release(name: str, folder: Path) -> None:
    """Six rows a split in the release's layout, with what its texts hold: quotes, odd spaces, other scripts."""
    layout = task(name).tsv
    columns = list(layout.columns or ["index", *layout.texts, layout.label])
    labels = layout.written or ("3.800", "0", "5.000", "2.11111111111111", "1.53333333333333", "4.6")
    for position, file in enumerate(layout.files.values()):
        rows = [[] if layout.columns else columns]
        for number in range(6):
            text = f'"{position} {number}\u2028 „naïve“ \u0085 日本語 \'\' ""'
            cells = dict.fromkeys(columns, "x") | dict.fromkeys(layout.texts, text)
            rows.append(list((cells | {layout.label: labels[number % len(labels)]}).values()))
        write(folder, file, *[row for row in rows if row])


def from_hub_copy(name: str, folder: Path, **changes: object) -> Glue:
    """A task that reads the hub's files from `folder`."""
    one = task(name, **changes)
    return dataclasses.replace(one, hub=dataclasses.replace(one.hub, repo=str(folder)))


@pytest.mark.parametrize("name", NAMES)
def test_release_and_hub_give_the_very_same_splits(name, tmp_path):
    write_release(name, tmp_path / "release")
    write_as_on_the_hub(name, tmp_path / "release", tmp_path / "hub")
    assert from_hub_copy(name, tmp_path / "hub").load(None, seed=0) == task(name).load(tmp_path / "release", seed=0)


@pytest.mark.parametrize("name", [name for name in COMPLETE if name != "sst2"])
def test_release_and_hub_give_the_very_same_splits_on_real_rows(name, splits, real_data, tmp_path):
    write_as_on_the_hub(name, real_data / "glue", tmp_path)
    assert from_hub_copy(name, tmp_path).load(None, seed=0) == splits[name]


def test_the_hubs_class_names_must_be_the_tasks(tmp_path):
    write_release("rte", tmp_path / "release")
    write_as_on_the_hub("rte", tmp_path / "release", tmp_path / "hub")
    with pytest.raises(ValueError) as error:
        from_hub_copy("rte", tmp_path / "hub", labels=["yes", "no"]).load(None, seed=0)
    assert "has the classes ['entailment', 'not_entailment'], the task's labels are ['yes', 'no']" in str(error.value)


def test_a_split_missing_on_the_hub(tmp_path):
    write_release("mnli", tmp_path / "release")
    write_as_on_the_hub("mnli", tmp_path / "release", tmp_path / "hub")
    (tmp_path / "hub/mnli/validation_mismatched-00000-of-00001.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*/mnli/validation_mismatched-\*\.parquet"):
        from_hub_copy("mnli", tmp_path / "hub").load(None, seed=0)


def test_without_network_the_hub_is_not_waited_for():
    with pytest.raises(ConnectionError, match=r"data_dir=DIR with the release's RTE/train\.tsv"):
        task("rte", hub={**dataclasses.asdict(task("rte").hub), "repo": "nobody/has-cached-this"}).load(None, seed=0)


# --- what is wrong ----------------------------------------------------------------------------------------------------

HEADER = "index\tsentence1\tsentence2\tlabel\n"
WRONG_ROWS = [
    # task, content of dev.tsv, part of the message
    (
        "rte",
        HEADER + "0\ta\tb\tentailment\n1\ta\tb\n",
        "dev.tsv, line 3: expected 4 fields (index, sentence1, sentence2",
    ),
    (
        "rte",
        HEADER + "0\ta\tb\tmaybe\n",
        "line 2: unknown label 'maybe'; expected one of 'entailment', 'not_entailment'",
    ),
    ("rte", HEADER + "0\ta\tb\t1\n", "line 2: unknown label '1'"),
    ("rte", HEADER + "0\t\t \tentailment\n", "line 2: expected a text in column 'sentence1', found nothing"),
    (
        "rte",
        "index\tsentence1\tlabel\n0\ta\tentailment\n",
        "line 2: no column 'sentence2'; the columns are index, sent",
    ),
    ("rte", HEADER, "dev.tsv holds no row"),
    ("rte", "", "dev.tsv holds no row"),
    ("cola", "gj04\t1\t\ta\ngj04\t2\t\ta\n", "line 2: unknown label '2'; expected one of '0', '1'"),
    ("cola", "gj04\t1\ta\n", "line 1: expected 4 fields (source, label, star, sentence), found 3"),
    ("stsb", "sentence1\tsentence2\tscore\na\tb\tnan\n", "line 2: expected a finite number as label, found 'nan'"),
    ("stsb", "sentence1\tsentence2\tscore\na\tb\tbad\n", "line 2: expected a finite number as label, found 'bad'"),
    ("stsb", "sentence1\tsentence2\tscore\na\tb\t\n", "line 2: expected a finite number as label, found ''"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG_ROWS)
def test_a_wrong_row_is_named(name, content, message, tmp_path):
    (tmp_path / "dev.tsv").write_text(content)
    with pytest.raises(ValueError) as error:
        with_files(name, train="dev.tsv", dev="dev.tsv").load(tmp_path, seed=0)
    assert message in str(error.value)


def test_an_empty_question_is_one_text_of_a_pair(tmp_path):
    (tmp_path / "a.tsv").write_text("question1\tquestion2\tis_duplicate\nWhy?\t\t0\n")
    loaded = with_files("qqp", train="a.tsv", dev="a.tsv").load(tmp_path, seed=0)
    assert loaded["dev"].examples[0].texts == ("Why?", "")


def test_a_missing_file_says_what_is_there_and_the_way_out(tmp_path):
    write(tmp_path, "RTE/train.tsv", HEADER.strip().split("\t"), ["0", "a", "b", "entailment"])
    with pytest.raises(FileNotFoundError) as error:
        task("rte").load(tmp_path, seed=0)
    assert "RTE/dev.tsv" in str(error.value)
    assert "holds ['train.tsv']; data_dir=null takes nyu-mll/glue from the hub" in str(error.value)


IMPOSSIBLE = [
    # task, changes, part of the message
    ("rte", {"labels": ["a", "b", "c"]}, "3 labels ['a', 'b', 'c'] for a 2-label task: the files of rte write"),
    ("rte", {"labels": ["a", "a"]}, "labels names a class twice"),
    ("stsb", {"labels": ["low", "high"]}, "2 labels ['low', 'high'] for a 0-label task"),
    ("stsb", {"kind": "classification"}, "labels must name at least two classes in class order, got []"),
    ("rte", {"metrics": ["acuracy"]}, "no metric 'acuracy'; did you mean 'accuracy'?"),
    ("mnli", {"metrics": ["f1"]}, "metric 'f1' is defined for 2 classes, this task has 3"),
    ("rte", {"kind": "regresion"}, "task.kind=regresion"),
    ("rte", {"label": ["a", "b"]}, "'label' is no key of task; did you mean 'labels'?"),
]


@pytest.mark.parametrize(("name", "changes", "message"), IMPOSSIBLE)
def test_impossible_settings(name, changes, message):
    with pytest.raises(ConfigError) as error:
        task(name, **changes)
    assert message in str(error.value)


def test_every_glue_task_is_there():
    found = {path.stem for path in (CONF / "task").glob("*.yaml") if "glue.Glue" in path.read_text()}
    assert found == {*NAMES}
