"""Families of tasks in conf/task: every variant is a task, from the hub and from files; real rows are as published."""

import json

import pytest
from omegaconf import OmegaConf

from dsee_bench import plan
from dsee_bench.config import option, options
from dsee_bench.config.validate import build
from dsee_bench.config.variants import SOURCES, chosen
from dsee_bench.runs import sweep
from dsee_bench.tasks.generation import pairs

FAMILIES = [name for name in options("task") if {"variants", *SOURCES} & {*option("task", name)}]
EVERY = [
    (family, variant, source)
    for family in FAMILIES
    for variant, own in option("task", family).get("variants", {None: {}}).items()
    for source in SOURCES
    if own.get(source, option("task", family).get(source) if source not in own else None)
]


def test_there_are_families():
    assert {"data_to_text", "summarization", "question_answering", "wikitext"} <= {*FAMILIES}
    assert len(EVERY) >= 2 * (5 + 3 + 3 + 2)


@pytest.mark.parametrize(("family", "variant", "source"), EVERY)
def test_a_variant_is_a_task(family, variant, source):
    node = option("task", family) | ({} if variant is None else {"variant": variant})
    made = chosen(OmegaConf.create({"task": node, "data_dir": None if source == "from_hub" else "d"})).task
    task = build(OmegaConf.to_container(made), "task")
    assert family == task.name or variant in task.name or task.name in variant
    assert (task.hub is None) == (source == "from_files")
    assert task.split.dev is not None
    assert all(count > 0 for count in task.rows.values())


def loaded(task, variant, folder, *more):
    words = [f"task={task}", f"task.variant={variant}", f"data_dir={folder}", "backbone=tiny-gpt2", *more]
    settings = plan.read(sweep.resolved(words))
    assert settings.run_id.startswith(f"{variant}-tiny-gpt2-")
    return settings.load_data()


REAL = [
    # variant, texts by split (README of the data), contexts by split (None: not stated)
    ("viggo", {"train": 5103, "dev": 714, "test": 1083}, {"train": 1675, "dev": 238, "test": 359}),
    ("commongen", {"train": 39069, "dev": 4018}, None),
    ("cs_restaurants", {"train": 3569, "dev": 781, "test": 842}, None),
    ("totto", {"train": 3, "dev": 15}, {"train": 3, "dev": 5}),  # three annotators of each row of dev
]


@pytest.mark.parametrize(("variant", "texts", "contexts"), REAL)
def test_published_data_to_text(real_data, variant, texts, contexts):
    data = loaded("data_to_text", variant, real_data / "more" / variant)
    assert {split: len(pairs(rows.examples)) for split, rows in data.items()} == texts
    assert contexts is None or {split: len(rows.examples) for split, rows in data.items()} == contexts


def test_what_a_published_row_becomes(real_data):
    (first, *_) = loaded("data_to_text", "commongen", real_data / "more" / "commongen")["dev"].examples
    assert first.context == "field stand look"
    assert first.references[0] == "The player stood in the field looking at the batter."
    (first, *_) = loaded("data_to_text", "cs_restaurants", real_data / "more" / "cs_restaurants")["dev"].examples
    assert (first.context, first.references[0]) == ("?request(area)", "Jakou lokalitu hledáte ?")
    (first, *_) = loaded("data_to_text", "totto", real_data / "more" / "totto")["train"].examples
    assert first.context.startswith("<page_title> Tobias Harris </page_title> <section_title> College </section_title>")
    assert first.references == ("Tobias Harris scored 15.3 points per game.",)


def test_xquads_layout(real_data):
    data = loaded("question_answering", "xquad", real_data / "more" / "xquad")
    rows = [*data["train"].examples, *data["dev"].examples]
    assert len(rows) == 1190
    assert len({row.context.split("\nQuestion: ")[0] for row in rows}) == 240
    assert rows[0].context.endswith("Question: How many points did the Panthers defense surrender?\nAnswer:")
    assert rows[0].references == ("308",)


def write(folder, **files):
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_layouts_without_rows_here(tmp_path):
    """The published layouts of the other variants, in small."""
    chat = [json.dumps([{"id": "1", "dialogue": "A: hi\r\nB: ho", "summary": "They greet."}])]
    write(tmp_path, **{f"{split}.json": chat for split in ("train", "val", "test")})
    data = loaded("summarization", "samsum", tmp_path)
    assert data["test"].examples[0].context == "Summarize: A: hi\r\nB: ho\nSummary:"
    assert data["test"].examples[0].references == ("They greet.",)

    one = [json.dumps({"fname": "x", "dialogue": "D", "summary": "S", "topic": "t"})]
    three = [json.dumps({"fname": "x", "dialogue": "D", **{f"summary{n}": f"S{n}" for n in (1, 2, 3)}})]
    for split, lines in (("train", one), ("dev", one), ("test", three)):
        write(tmp_path, **{f"dialogsum.{split}.jsonl": lines})
    data = loaded("summarization", "dialogsum", tmp_path)
    assert [data[split].examples[0].references for split in data] == [("S",), ("S",), ("S1", "S2", "S3")]

    for split in ("train", "val", "test"):
        write(tmp_path, **{f"{split}.source": ["One.", "Two."], f"{split}.target": ["1", "2"]})
    data = loaded("summarization", "xsum", tmp_path)
    assert [example.references for example in data["dev"].examples] == [("1",), ("2",)]

    sums = [
        json.dumps({"question": f"{n} + 1?", "answer": f"{n}+1=<<{n}+1={n + 1}>>\n#### {n + 1}"}) for n in range(20)
    ]
    write(tmp_path, **{"train.jsonl": sums, "test.jsonl": sums[:2]})
    data = loaded("question_answering", "gsm8k", tmp_path)
    assert {split: len(rows) for split, rows in data.items()} == {"train": 18, "dev": 2, "test": 2}
    assert data["test"].examples[1].context == "Question: 1 + 1?\nAnswer:"
    write(tmp_path, **{"test.jsonl": [json.dumps({"question": "?", "answer": "five"})]})
    with pytest.raises(ValueError, match="finds nothing in the reference 'five'"):
        loaded("question_answering", "gsm8k", tmp_path)

    cleaned = ["mr,ref,orig_mr,fixed", "name[A],A is.,name[A],0", "name[A],It is A.,name[A],0"]
    for name in ("train-fixed.no-ol.csv", "devel-fixed.no-ol.csv", "test-fixed.csv"):
        write(tmp_path, **{name: cleaned})
    data = loaded("data_to_text", "e2e_cleaned", tmp_path)
    assert [(row.context, row.references) for row in data["test"].examples] == [("name[A]", ("A is.", "It is A."))]

    for split in ("train", "valid", "test"):
        write(tmp_path, **{f"wiki.{split}.raw": [" = Title = ", " ", " Some text . "]})
    for variant in ("wikitext2", "wikitext103"):
        data = loaded("wikitext", variant, tmp_path)
        assert [row.texts[0] for row in data["test"].examples] == [" = Title = ", "", " Some text . "]
