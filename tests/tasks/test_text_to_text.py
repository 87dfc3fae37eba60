"""Rows to prompts and their texts: what is learned, what is compared, what is grouped, and a split without texts."""

from pathlib import Path

import pytest

from dsee_bench.tasks.example import split_of
from dsee_bench.tasks.generation import Prompt, completions
from dsee_bench.tasks.rows import Row
from dsee_bench.tasks.template import Template
from dsee_bench.tasks.text_to_text import Prompting, read_prompts

ROWS = [
    {"q": "Who?", "a": "Ann", "all": ["Ann", "Ann B."]},
    {"q": "When?", "a": "Today", "all": ["Today"]},
    {"q": "Who?", "a": "Bob", "all": ["Bob", "Ann"]},
]


def how(target="{a}", references=None, group=False):
    return Prompting(Template("Q: {q}"), target and Template(target), references and (references,), group)


def read(split, prompting, rows=ROWS):
    return list(read_prompts([Row(Path("a.jsonl"), at, cells) for at, cells in enumerate(rows, 1)], split, prompting))


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_the_target_is_learned_and_compared_where_there_are_no_references(split):
    assert read(split, how()) == [
        Prompt("Q: Who?", ("Ann",)), Prompt("Q: When?", ("Today",)), Prompt("Q: Who?", ("Bob",)),
    ]  # fmt: skip


def test_references_are_for_comparing():
    assert [example.references for example in read("dev", how(references="all"))] == [
        ("Ann", "Ann B."), ("Today",), ("Bob", "Ann"),
    ]  # fmt: skip
    assert [example.references for example in read("train", how(references="all"))] == [("Ann",), ("Today",), ("Bob",)]


def test_references_alone_are_learned_too():
    rows = completions(split_of("train", read("train", how(None, "all"))))
    assert [row.text for row in rows.examples] == ["Ann", "Ann B.", "Today", "Bob", "Ann"]
    assert all(row.continued for row in rows.examples)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_rows_of_one_prompt_are_one_example_with_all_their_texts(split):
    assert read(split, how(group=True)) == [Prompt("Q: Who?", ("Ann", "Bob")), Prompt("Q: When?", ("Today",))]


def test_a_test_split_without_texts_is_read():
    bare = [{"q": "Who?"}, {"q": "When?"}]
    assert read("test", how(references="all"), bare) == [Prompt("Q: Who?", ()), Prompt("Q: When?", ())]
    for split in ("train", "dev"):
        with pytest.raises(ValueError, match="no column 'a'"):
            read(split, how(), bare)
    with pytest.raises(ValueError, match="line 2: no column 'a'"):
        read("test", how(), [ROWS[0], bare[1]])


def test_a_row_with_an_empty_list_is_named(caplog):
    assert read("dev", how(None, "all"), [{"q": "?", "all": []}, ROWS[0]])[0] == Prompt("Q: ?", ())
    assert "dev: 1 rows have no text" in caplog.text


def test_nothing_to_learn():
    with pytest.raises(ValueError, match="neither target nor references"):
        how(None, None)
    with pytest.raises(ValueError, match="no row of train has a text to learn"):
        completions(split_of("train", [Prompt("x", ())]))
