"""Cells that hold several labels, in each of the forms that published data sets use."""

import json
from pathlib import Path

import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.table import Table

ROWS = [("so happy", ["joy"]), ("happy but afraid", ["joy", "fear"]), ("a table", []), ("furious", ["anger"])]
NAMES = ("anger", "fear", "joy")
EXPECTED = [(0, 0, 1), (0, 1, 1), (0, 0, 0), (1, 0, 0)]


def task(**changes: object) -> Table:
    return build({**option("task", "custom"), "kind": "multi_label", "label": "moods", **changes}, "task")


def write(path: Path, form: str) -> dict[str, object]:
    """Write ROWS in a form; return the settings that read it."""
    index = {name: place for place, name in enumerate(NAMES)}
    if form == "names in JSON":
        path.write_text("".join(json.dumps({"text": text, "moods": moods}) + "\n" for text, moods in ROWS))
        return {}
    if form == "indices in JSON":
        rows = [{"text": text, "moods": [index[mood] for mood in moods]} for text, moods in ROWS]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return {"label_as": "index", "labels": NAMES}
    if form == "joined":
        path.write_text("text,moods\n" + "".join(f"{text},{' | '.join(moods)}\n" for text, moods in ROWS))
        return {"label_separator": "|"}
    if form == "joined indices":  # GoEmotions' "3,10"
        lines = [f"{text}\t{','.join(str(index[mood]) for mood in moods)}\n" for text, moods in ROWS]
        path.write_text("".join(lines))
        return {"label_separator": ",", "label_as": "index", "labels": NAMES, "columns": ["text", "moods"]}
    assert form == "columns"
    lines = [f"{text},{','.join(str(int(name in moods)) for name in NAMES)}\n" for text, moods in ROWS]
    path.write_text(f"text,{','.join(NAMES)}\n" + "".join(lines))
    return {"label": NAMES}


FORMS = {
    "names in JSON": "a.jsonl",
    "indices in JSON": "a.jsonl",
    "joined": "a.csv",
    "joined indices": "a.tsv",
    "columns": "a.csv",
}


@pytest.mark.parametrize(("form", "name"), FORMS.items())
def test_every_form_gives_the_same_rows(form, name, tmp_path):
    settings = write(tmp_path / name, form)
    made = task(train=name, dev=name, **settings).completed(tmp_path)
    assert made.labels == NAMES
    assert [example.label for example in made.load(tmp_path, 0)["dev"].examples] == EXPECTED


def test_a_list_of_classes_in_parquet(tmp_path):
    from datasets import ClassLabel, Dataset, Features, List, Value

    features = Features({"text": Value("string"), "moods": List(ClassLabel(names=list(NAMES)))})
    rows = {"text": [text for text, _ in ROWS], "moods": [[NAMES.index(mood) for mood in moods] for _, moods in ROWS]}
    Dataset.from_dict(rows, features).to_parquet(tmp_path / "a.parquet")
    made = task(train="a.parquet", dev="a.parquet").completed(tmp_path)
    assert made.labels == NAMES
    assert [example.label for example in made.load(tmp_path, 0)["dev"].examples] == EXPECTED


def test_goemotions(real_data):
    """43,410 rows of up to five labels, and 28 labels, as published."""
    folder = real_data / "more/goemotions"
    names = (folder / "labels.txt").read_text().split()
    settings = {"label_separator": ",", "label_as": "index", "labels": names, "columns": ["text", "moods", "id"]}
    data = task(train="train.tsv.gz", dev="dev.tsv.gz", **settings).load(folder, 0)
    assert {name: len(split) for name, split in data.items()} == {"train": 43410, "dev": 5426}
    counts = [sum(example.label) for example in data["train"].examples]
    assert (min(counts), max(counts), len(names)) == (1, 5, 28)


WRONG = [
    # settings, file, content, part of the message
    ({"labels": NAMES}, "a.csv", "text,moods\na,joy\nb,joy|fear\n", "line 3: unknown label 'joy|fear'"),
    ({"labels": NAMES}, "a.csv", "text,moods\nb,joy|fear\n", "several in one cell need task.label_separator"),
    (
        {"labels": NAMES, "label_as": "index"},
        "a.jsonl",
        '{"text": "a", "moods": [0, 1, 1]}\n',
        "line 1: the label 'fear' stands twice in [0, 1, 1]; give names or indices, or a column of 0 and 1",
    ),
    ({"label": NAMES}, "a.csv", "text,anger,fear,joy\na,0,1,1\nb,0,2,0\n", "line 3: expected 0 or 1 in column 'fear'"),
    ({"label": NAMES}, "a.csv", "text,anger,fear\na,0,1\n", "line 2: no column 'joy'; the columns are text, anger"),
    ({"labels": NAMES}, "a.jsonl", '{"text": "a", "moods": ["sad"]}\n', "line 1: unknown label 'sad'"),
    ({"labels": NAMES}, "a.jsonl", '{"text": "a", "moods": {"joy": 1}}\n', "line 1: unknown label {'joy': 1}"),
    ({"kind": "classification"}, "a.jsonl", '{"text": "a", "moods": ["joy"]}\n', "kind=multi_label takes several"),
    ({"labels": NAMES}, "a.csv", "text,moods\n", "a.csv holds no row"),
    (
        {},
        "a.csv",
        "text,moods\na,joy|fear\n",
        "'joy|fear' in column 'moods' seems to hold several labels; say by task.",
    ),
]


@pytest.mark.parametrize(("settings", "name", "content", "message"), WRONG)
def test_a_wrong_cell_is_named(settings, name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError) as error:
        task(train=name, dev=name, **settings).load(tmp_path, 0)
    assert message in str(error.value)


IMPOSSIBLE = [
    ({"threshold": 1.0}, "threshold must"),
    (
        {"kind": "classification", "threshold": 0.3},
        "threshold=0.3 is for kind=multi_label, this task is classification",
    ),
    ({"kind": "classification", "label": ["a", "b"]}, "label must name one column, got ['a', 'b']"),
    ({"metrics": ["accuracy"], "labels": NAMES}, "metric 'accuracy' scores classification"),
]


@pytest.mark.parametrize(("settings", "message"), IMPOSSIBLE)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError) as error:
        task(train="a.csv", dev="a.csv", **settings)
    assert message in str(error.value)
