import json

import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.dart import read_release
from dsee_bench.tasks.generation import Generation, pairs

TASK = build(option("task", "dart"), "task=dart")
COUNTS = {"dev": (2768, 6980), "test": (5097, 12552)}  # the release's README, v1.1.1


@pytest.mark.parametrize("split", COUNTS)
def test_counts(real_data, split):
    read = TASK.read(real_data, split)
    assert (len(read), len(pairs(read.examples))) == COUNTS[split]


def test_every_form_gives_the_same_examples(real_data):
    assert TASK.read(real_data / "dart", "dev") == TASK.read(real_data / "lora-nlg", "dev")
    forms = [TASK.find(real_data / folder, "dev")[0].name for folder in ("dart", "lora-nlg")]
    assert forms == ["XML", "JSON"]


def test_the_hubs_rows_are_the_releases(real_data, tmp_path):
    import pyarrow
    from pyarrow import parquet

    entries = json.loads((real_data / "lora-nlg/dart/dart-v1.1.1-full-dev.json").read_text(encoding="utf-8"))
    rows = [
        {
            "tripleset": entry["tripleset"],
            "annotations": {key: [text[key] for text in entry["annotations"]] for key in ("source", "text")},
        }
        for entry in entries
    ]
    path = tmp_path / "default" / "validation" / "0000.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    settings = option("task", "dart")
    task = build(settings | {"hub": settings["hub"] | {"repo": str(tmp_path)}}, "task")
    assert task.read(None, "dev") == TASK.read(real_data, "dev")


def test_one_entry(tmp_path):
    entry = {"tripleset": [["A b", "JOINED_IN", " 1973"]], "annotations": [{"source": "x", "text": "A b joined. "}]}
    path = tmp_path / "dart-v1.1.1-full-dev.json"
    path.write_text(json.dumps([entry]))
    assert list(read_release([path], "dev")) == [Generation("A b : joined_in : 1973", ("A b joined.",))]
    path.write_text('{"entries": 1}')
    with pytest.raises(ValueError, match="is not DART's JSON"):
        list(read_release([path], "dev"))
