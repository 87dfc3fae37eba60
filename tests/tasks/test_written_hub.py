"""Tasks of language models from a copy of a hub repository: nested features, lists, configurations, revisions."""

import pytest
from datasets import Dataset, Features, Sequence, Value

from dsee_bench import plan
from dsee_bench.runs import sweep

SQUAD = Features(
    id=Value("string"),
    context=Value("string"),
    question=Value("string"),
    answers=Sequence({"text": Value("string"), "answer_start": Value("int32")}),
)
ANSWERS = [{"text": ["Ann"], "answer_start": [0]}, {"text": ["Bob", "Bob B."], "answer_start": [3, 3]}]


def write(path, rows, features=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(path)


def loaded(*words):
    return plan.read(sweep.resolved(["backbone=tiny-gpt2", *words])).load_data()


def test_squads_nested_answers(tmp_path):
    rows = {"id": ["1", "2"], "context": ["C", "D"], "question": ["Q?", "R?"], "answers": ANSWERS}
    for split in ("train", "validation"):
        write(tmp_path / "plain_text" / f"{split}-00000-of-00001.parquet", rows, SQUAD)
    data = loaded("task=question_answering", "task.variant=squad", f"task.hub={tmp_path}", "task.config=plain_text")
    assert [example.references for example in data["dev"].examples] == [("Ann",), ("Bob", "Bob B.")]
    assert data["train"].examples[0].context == "Context: C\nQuestion: Q?\nAnswer:"


def test_a_list_of_concepts_and_grouped_rows(tmp_path):
    rows = {"concept_set_idx": [0, 0, 1], "concepts": [["ski", "snow"]] * 2 + [["dog"]], "target": ["A.", "B.", "C."]}
    for split in ("train", "validation"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", rows)
    data = loaded("task=data_to_text", "task.variant=commongen", f"task.hub={tmp_path}")
    assert [(example.context, example.references) for example in data["dev"].examples] == [
        ("ski snow", ("A.", "B.")), ("dog", ("C.",)),
    ]  # fmt: skip


def test_wikitexts_lines_are_those_of_its_files(tmp_path):
    for split in ("train", "validation", "test"):
        path = tmp_path / "hub" / "wikitext-2-raw-v1" / f"{split}-00000-of-00001.parquet"
        write(path, {"text": [" = T = \n", "", " Some text . \n"]})
    (tmp_path / "files").mkdir()
    for split in ("train", "valid", "test"):
        (tmp_path / "files" / f"wiki.{split}.raw").write_text(" = T = \n \n Some text . \n")
    hub = loaded("task=wikitext", "task.variant=wikitext2", f"task.hub={tmp_path / 'hub'}")
    files = loaded("task=wikitext", "task.variant=wikitext2", f"data_dir={tmp_path / 'files'}")
    assert {name: split.sha256 for name, split in hub.items()} == {name: split.sha256 for name, split in files.items()}


@pytest.mark.parametrize("split", ["train[:50%]", "train"])
def test_any_repository(tmp_path, split):
    write(
        tmp_path / "train.parquet",
        {"article": [f"a{n}" for n in range(10)], "highlights": [f"h{n}" for n in range(10)]},
    )
    words = ["task=hub", f"task.hub={tmp_path}", "task.kind=generation", "task.split.dev='train[90%:]'"]
    prompts = ["task.prompt='{article}\\n'", "task.target='{highlights}'", f"task.split.train='{split}'"]
    data = loaded(*words, *prompts)
    assert {name: len(rows) for name, rows in data.items()} == {"train": 5 if "50" in split else 9, "dev": 1}
    assert (data["dev"].examples[0].context, data["dev"].examples[0].references) == ("a9\n", ("h9",))
