"""Templates: what a place may name, how lists and nested cells read, and what a wrong one says."""

from pathlib import Path

import pytest

from dsee_bench.tasks.rows import Row
from dsee_bench.tasks.template import Template, texts_at


def row(**cells):
    return Row(Path("a.jsonl"), 3, cells)


LISTS = {"text": ["Denver", "Denver Broncos"], "answer_start": [1, 9]}
OBJECTS = [{"text": "Denver", "answer_start": 1}, {"text": "Denver Broncos", "answer_start": 9}]


@pytest.mark.parametrize(
    ("template", "cells", "text"),
    [
        ("summarize: {document} ->", {"document": " A b. "}, "summarize:  A b.  ->"),
        ("{a}{b}{a}", {"a": "x", "b": "y"}, "xyx"),
        ("{n} {share} {sure}", {"n": 3, "share": 0.5, "sure": True}, "3 0.5 true"),
        ("{concepts}", {"concepts": ["ski", "mountain"]}, "ski mountain"),
        ("{{{a}}}: {{}}", {"a": "x"}, "{x}: {}"),
        (r"Q: {q}\nA:\t", {"q": r"\n {q}"}, "Q: \\n {q}\nA:\t"),
        ("{answers.text.0}", {"answers": LISTS}, "Denver"),
        ("{answers[text][1]}", {"answers": LISTS}, "Denver Broncos"),
        ("{answers.1.text}", {"answers": OBJECTS}, "Denver Broncos"),
        ("{answers.text.-1}", {"answers": OBJECTS}, "Denver Broncos"),
        ("{meta.page.title}", {"meta": {"page": {"title": "T"}}}, "T"),
        ("{a.b}", {"a.b": "the column", "a": {"b": "the field"}}, "the column"),
        ("{the document}", {"the document": "x"}, "x"),
    ],
)
def test_a_row_fills_a_template(template, cells, text):
    assert Template(template).fill(row(**cells)) == text


@pytest.mark.parametrize("answers", [LISTS, OBJECTS])
@pytest.mark.parametrize("path", ["answers.text", "answers[text]"])
def test_squads_answers_in_either_layout(answers, path):
    assert texts_at(row(answers=answers), path) == ("Denver", "Denver Broncos")
    assert Template(f"It is {{{path}}}.").fill_each(row(answers=answers)) == ("It is Denver.", "It is Denver Broncos.")
    assert texts_at(row(answers=[]), path) == ()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("summarize", "names no column; write one in braces"),
        ("{a} {", "single '{'"),
        ("{a}}", "single '}'"),
        ("{a} {}", "braces around '', which names no column"),
        ("{a..b}", "braces around 'a..b'"),
        ("{a{b}}", "single '{'"),
    ],
)
def test_a_wrong_template(template, said):
    with pytest.raises(ValueError, match=said.replace("{", r"\{").replace("}", r"\}")):
        Template(template)


@pytest.mark.parametrize(
    ("template", "cells", "said"),
    [
        ("{dcument}", {"document": "x", "id": "1"}, "line 3: no column 'dcument' for {dcument}; there is document, id"),
        ("{answers.txt}", {"answers": LISTS}, "no field 'txt' for {answers.txt}; there is text, answer_start"),
        ("{answers}", {"answers": LISTS}, "expected a text in 'answers', found"),
        ("{answers}", {"answers": LISTS}, "name one of text, answer_start below it"),
        ("{a.3}", {"a": ["x"]}, "no field '3' for {a.3}"),
        ("{a.b}", {"a": "x"}, "which has no 'b'"),
        ("{a}", {"a": None}, "expected a text in 'a', found"),
        ("{a}", {"a": "\ud800"}, "half a surrogate pair"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit(template, cells, said):
    with pytest.raises(ValueError) as error:
        Template(template).fill(row(**cells))
    assert said in str(error.value)


def test_a_target_takes_one_list():
    with pytest.raises(ValueError, match="a and b each hold a list"):
        Template("{a} {b}").fill_each(row(a=["x"], b=["y"]))


MARKED = [
    # template, cells, text, why
    ("{s|mark(a,b)}", {"s": "a fine class act", "a": 7, "b": 12}, "a fine *class* act", "characters, as WiC has them"),
    ("{s|mark(a,b)}", {"s": "a fine class act", "a": "7", "b": "12"}, "a fine *class* act", "of a CSV file"),
    (
        "{t|mark(x.i,x.w)|mark(x.j,x.v)} {x.v}",
        {"t": "Mark told Pete that he won.", "x": {"i": 0, "w": "Mark", "j": 4, "v": "he"}},
        "*Mark* told Pete that *he* won. he",
        "words, as WSC has them; the first mark moves the second",
    ),
    ("{t|mark(i,w)}", {"t": "He said he won", "i": 2, "w": "He"}, "He said *he* won", "in any case"),
]


@pytest.mark.parametrize(("template", "cells", "text", "why"), MARKED)
def test_parts_are_marked(template, cells, text, why):
    assert Template(template).fill(Row(Path("a"), 1, cells)) == text, why


@pytest.mark.parametrize(("template", "cells", "message"), [
    ("{s|mark(a,b)}", {"s": "short", "a": 3, "b": 30}, "a, line 1: mark(a,b) names no part of 'short': 3 and 30"),
    ("{s|mark(a,b)}", {"s": "short", "a": 9, "b": "word"}, "names no part of"),
    ("{s|upper}", {"s": "short"}, "{...|upper} is not known"),
    ("{s|mark(a,c)}", {"s": "short", "a": 1}, "no column 'c'"),
])  # fmt: skip
def test_marks_that_cannot_be(template, cells, message):
    with pytest.raises(ValueError, match=r".") as error:
        Template(template).fill(Row(Path("a"), 1, cells))
    assert message in str(error.value)
