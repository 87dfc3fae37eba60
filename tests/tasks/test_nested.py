"""Rows inside the objects of a JSON file: what they inherit, and which of two fields with one name counts."""

from pathlib import Path

import pytest

from dsee_bench.tasks.nested import inner_rows
from dsee_bench.tasks.rows import Row


def rows(path, *cells):
    return list(inner_rows(iter([Row(Path("a.json"), at, each) for at, each in enumerate(cells, 1)]), path))


SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "T",
            "paragraphs": [
                {"context": "C", "id": "p1", "qas": [{"id": "q1", "question": "Q1"}, {"id": "q2", "question": "Q2"}]},
                {"context": "D", "id": "p2", "qas": [{"id": "q3", "question": "Q3"}]},
                {"context": "E", "id": "p3", "qas": []},
            ],
        }
    ],
}


def test_a_row_has_what_is_around_it():
    found = rows("data.paragraphs.qas", SQUAD)
    assert [(row.cells["title"], row.cells["context"], row.cells["question"]) for row in found] == [
        ("T", "C", "Q1"), ("T", "C", "Q2"), ("T", "D", "Q3"),
    ]  # fmt: skip
    assert [(row.cells["id"], row.cells["paragraphs.id"]) for row in found] == [
        ("q1", "p1"),
        ("q2", "p1"),
        ("q3", "p2"),
    ]
    assert found[2].where == "a.json, row 3"


def test_objects_on_the_way_and_lines_of_them():
    line = {"passage": {"text": "P", "questions": [{"text": "Q", "answers": [{"text": "A", "label": 1}]}]}}
    first, second = rows("passage.questions.answers", line, line)
    assert first.cells == second.cells
    assert (first.cells["text"], first.cells["passage.text"], first.cells["questions.text"]) == ("A", "P", "Q")


def test_a_list_of_texts():
    assert [row.cells["texts"] for row in rows("texts", {"texts": ["a", "b"]})] == ["a", "b"]


def test_a_path_that_there_is_not():
    with pytest.raises(ValueError, match=r"a.json, line 1: no 'paragraph' on the way to task.records"):
        rows("data.paragraph", SQUAD)
