"""A table in files: every format gives the same rows, and every mistake is named."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from dsee_bench.config import ConfigError, option
from dsee_bench.config.validate import build
from dsee_bench.tasks.example import Example
from dsee_bench.tasks.table import Table

ROWS = [('Good, "very" good', "yes"), ("Läuft nicht", "no"), ("So so", "no")]
EXAMPLES = tuple(Example((text,), ["no", "yes"].index(label)) for text, label in ROWS)


def task(**changes: object) -> Table:
    node = option("task", "custom")
    return build({**node, "labels": ["no", "yes"], **changes}, "task")


def write(path: Path) -> None:
    """ROWS in the format that the ending of `path` names, written by pandas or by hand, not by our code."""
    import pandas as pd

    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_rows(ending, tmp_path):
    write(tmp_path / f"a.{ending}")
    splits = task(train=f"a.{ending}", dev=f"a.{ending}", test=f"a.{ending}").load(tmp_path, seed=0)
    assert {name: split.examples for name, split in splits.items()} == dict.fromkeys(("train", "dev", "test"), EXAMPLES)


def test_where_files_are(tmp_path, monkeypatch):
    write(tmp_path / "a.csv")
    absolute = str(tmp_path / "a.csv")
    assert task(train=absolute, dev=absolute).load(Path("/nowhere"), 0)["dev"].examples == EXAMPLES, "an absolute path"
    monkeypatch.chdir(tmp_path)
    assert task(train="a.csv", dev="./a.csv").load(None, 0)["dev"].examples == EXAMPLES, "the working directory"


def test_shards_are_read_in_order(tmp_path):
    for part, (text, label) in enumerate(ROWS):
        line = json.dumps({"text": text, "label": label})
        (tmp_path / f"train-{part:05}-of-00003.jsonl").write_text(line + "\n")
    assert task(train="train-*.jsonl", dev="train-*.jsonl").load(tmp_path, 0)["train"].examples == EXAMPLES


def test_a_pair_a_number_and_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("7,A cat.,A dog.,2.5\n8,A cat.,A cat.,5\n")
    columns = {"columns": ["id", "one", "two", "score"], "texts": ["one", "two"], "label": "score"}
    regression = {"kind": "regression", "labels": [], "metrics": ["pearson", "spearman"]}
    loaded = task(train="a.csv", dev="a.csv", **columns, **regression).load(tmp_path, seed=0)["train"]
    assert loaded.examples == (Example(("A cat.", "A dog."), 2.5), Example(("A cat.", "A cat."), 5.0))


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text,label\na,1\n"), ("a.jsonl", '{"text":"a","label":1}\n')])
def test_a_class_by_its_place(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    assert task(train=name, dev=name, label_as="index").load(tmp_path, 0)["dev"].examples == (Example(("a",), 1),)
    with pytest.raises(ValueError, match=r"unknown label '?1'?; expected one of 'no', 'yes'"):
        task(train=name, dev=name).load(tmp_path, 0)


def test_a_copy_of_a_hub_repository(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train-00000-of-00001.parquet")
    loaded = task(train="data/train-*", dev="data/train-*", hub=str(tmp_path)).load(Path("/nowhere"), seed=0)
    assert loaded["train"].examples == EXAMPLES


def test_a_hub_repository_without_network():
    with pytest.raises(ConnectionError) as error:
        task(train="train.csv", dev="dev.csv", hub="nobody/has-cached-this").load(None, seed=0)
    assert "the files themselves, by task.hub=null and data_dir=DIR" in str(error.value)


WRONG_FILES = [
    # file name, content, part of the message
    ("a.csv", "text,stars\na,yes\n", "a.csv, line 2: no column 'label'; the columns are text, stars"),
    ("a.csv", "text,label\na,maybe\n", "a.csv, line 2: unknown label 'maybe'; expected one of 'no', 'yes'"),
    ("a.csv", "text,label\n", "a.csv holds no row"),
    (
        "a.jsonl",
        '{"text": "a", "label": "no"}\n{"text": null, "label": "no"}\n',
        "line 2: expected a text in column 'text'",
    ),
    ("a.jsonl", '{"text": "a", "label": "no"}\n{"text": "b"}\n', "a.jsonl, line 2: no column 'label'"),
    ("a.doc", "a\n", "ends in '.doc'; the formats known are"),
]


@pytest.mark.parametrize(("name", "content", "message"), WRONG_FILES)
def test_a_wrong_file_is_named(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError) as error:
        task(train=name, dev=name).load(tmp_path, seed=0)
    assert message in str(error.value)


def test_class_names_of_a_parquet_file_are_heard(tmp_path):
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": ClassLabel(names=["yes", "no"])})
    Dataset.from_dict({"text": ["good", "bad"], "label": [0, 1]}, features).to_parquet(tmp_path / "a.parquet")
    files = {"train": "a.parquet", "dev": "a.parquet"}
    with pytest.raises(ValueError, match=r"has the classes \['yes', 'no'\].*task.labels=\[yes,no\]"):
        task(**files, label_as="index").load(tmp_path, 0)
    with pytest.raises(ValueError, match=r"unknown label 0; expected one of 'no', 'yes'.*task.label_as=index"):
        task(**files, label_as="name").load(tmp_path, 0)
    by_name = task(**files).load(tmp_path, 0)["dev"].examples
    assert [example.label for example in by_name] == [1, 0], "the task's order is another than the file's"
    open_task = task(**files, labels=None).completed(tmp_path)
    assert open_task.labels == ("yes", "no")
    assert [example.label for example in open_task.load(tmp_path, 0)["dev"].examples] == [0, 1]
    read = task(**files, label_as="index", labels=["yes", "no"]).load(tmp_path, 0)["dev"].examples
    assert [example.label for example in read] == [0, 1]
    (tmp_path / "a.parquet").write_text("cut off")
    with pytest.raises(ValueError, match=r"a\.parquet is not a parquet file"):
        task(**files, label_as="index").load(tmp_path, 0)


def test_a_missing_file(tmp_path):
    write(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*b\.csv; .* holds \['a\.csv'\]"):
        task(train="a.csv", dev="b.csv").load(tmp_path, seed=0)


IMPOSSIBLE = [
    # changes, part of the message
    ({}, "task: split.train is not given; it must name a file of rows"),
    ({"train": "a.csv", "dev": "a.csv", "texts": ["a", "b", "c"]}, "texts must name one column or the two of a pair"),
    ({"train": "a.csv", "dev": "a.csv", "label": "text"}, "column 'text' cannot be both a text and the label"),
    ({"train": "a.csv", "dev": "a.csv", "labels": ["yes"]}, "labels must name at least two classes in class order"),
    ({"train": "a.csv", "dev": "a.csv", "kind": "regression"}, "labels must be [] for regression, got ['no', 'yes']"),
    ({"train": "a.csv", "dev": "a.csv", "metrics": ["matthew"]}, "no metric 'matthew'; did you mean 'matthews'?"),
    ({"train": "a.csv", "dev": "a.csv", "label_as": "number"}, "task.label_as=number"),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE)
def test_impossible_settings(changes, message):
    with pytest.raises(ConfigError) as error:
        task(**changes)
    assert message in str(error.value)


NAMES = [
    # label column, labels as YAML reads them, labels of the task, why
    ("answer", [False, True], ("false", "true"), "task.labels=[false,true]"),
    ("number", [0, 1], ("0", "1"), "task.labels=[0,1]"),
    ("share", [0.5, 1.0], ("0.5", "1.0"), "task.labels=[0.5,1.0]"),
    ("word", ["no", "yes"], ("no", "yes"), "on the command line these are words"),
]


@pytest.mark.parametrize(("column", "given", "labels", "why"), NAMES)
def test_labels_that_yaml_takes_for_no_texts(column, given, labels, why, tmp_path):
    header = "text,answer,number,share,word\n"
    (tmp_path / "a.csv").write_text(f"{header}dull,false,0,0.5,no\ngreat,true,1,1.0,yes\n")
    rows = [
        {"text": "dull", "answer": False, "number": 0, "share": 0.5, "word": "no"},
        {"text": "great", "answer": True, "number": 1, "share": 1.0, "word": "yes"},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("a.csv", "a.jsonl"):
        made = task(train=name, dev=name, label=column, labels=given)
        assert made.labels == labels, why
        assert [example.label for example in made.load(tmp_path, 0)["dev"].examples] == [0, 1], why


def test_words_that_a_yaml_file_takes_for_true_and_false(tmp_path):
    """YAML 1.1 reads [no, yes] as [false, true], and nobody can tell afterwards."""
    given = OmegaConf.to_container(OmegaConf.create("labels: [no, yes]"))
    (tmp_path / "a.csv").write_text("text,label\ndull,no\ngreat,yes\n")
    with pytest.raises(ValueError, match=r"unknown label 'no'; expected one of 'false', 'true'; YAML reads yes, no"):
        task(train="a.csv", dev="a.csv", **given).load(tmp_path, 0)


FOUND = [
    # cells of the label column of a CSV file, classes, labels, why
    (["1.0", "0.0", "10.0"], ("0", "1", "10"), [1, 0, 2], "whole numbers, as pandas writes them beside empty cells"),
    (["0.5", "1.0"], ("0.5", "1.0"), [0, 1], "not all are whole"),
    (["10", "9", "1"], ("1", "9", "10"), [2, 1, 0], "numbers by size"),
    (["True", "False"], ("False", "True"), [1, 0], "words"),
]


@pytest.mark.parametrize(("cells", "labels", "places", "why"), FOUND)
def test_classes_that_are_found_in_rows(cells, labels, places, why, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"x,{cell}\n" for cell in cells))
    made = task(train="a.csv", dev="a.csv", labels=None).completed(tmp_path)
    assert made.labels == labels, why
    assert [example.label for example in made.load(tmp_path, 0)["dev"].examples] == places, why


def test_cells_that_pandas_writes_spell_the_classes(tmp_path):
    (tmp_path / "a.csv").write_text("text,label,bit\nx,1.0,True\nx,0.0,False\n")
    for column, labels in (("label", [0, 1]), ("bit", [False, True])):
        made = task(train="a.csv", dev="a.csv", label=column, labels=labels)
        assert [example.label for example in made.load(tmp_path, 0)["dev"].examples] == [1, 0]
    with pytest.raises(ValueError, match="every training row has the class 'x' in column 'text'"):
        task(train="a.csv", dev="a.csv", label="text", texts=["bit"], labels=None).completed(tmp_path)


def test_columns_that_are_numbers(tmp_path):
    (tmp_path / "a.tsv").write_text("fine\tyes\npoor\tno\n")
    made = task(train="a.tsv", dev="a.tsv", columns=[0, 1], texts=[0], label=1)
    assert [example.label for example in made.load(tmp_path, 0)["dev"].examples] == [1, 0]
