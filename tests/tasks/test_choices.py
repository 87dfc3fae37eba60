"""Multiple choice in the layouts of published data sets; expected answers are read off the rows by hand."""

import json

import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.example import Question
from dsee_bench.tasks.table import Table


def task(**changes: object) -> Table:
    given = {"kind": "multiple_choice", "train": "a.jsonl", "dev": "a.jsonl", **changes}
    return build({**option("task", "custom"), **given}, "task")


def question(context, *choices, right):
    return Question((context,) * len(choices), choices, right)


COPA = {"texts": ["premise", "question"], "choices": ["choice1", "choice2"], "label": "label"}
HELLASWAG = {"texts": ["ctx"], "choices": "endings", "label": "label"}
ARC = {"texts": ["question"], "choices": "choices", "label": "answerKey"}
RACE = {"texts": ["article", "question"], "choices": "options", "label": "answer"}
WINOGRANDE = {"texts": ["sentence"], "choices": ["option1", "option2"], "label": "answer"}
LAYOUTS = [
    # name, settings, rows, questions
    (
        "COPA",
        COPA,
        [
            {"premise": "It fell.", "question": "cause", "choice1": "a", "choice2": "b", "label": 0},
            {"premise": "It ran.", "question": "effect", "choice1": "c", "choice2": "d", "label": 1.0},
        ],
        [question("It fell. cause", "a", "b", right=0), question("It ran. effect", "c", "d", right=1)],
    ),
    (
        "HellaSwag",
        HELLASWAG,
        [
            {"ctx": "He", "endings": ["a", "b", "c", "d"], "label": "3"},
            {"ctx": "She", "endings": ["e", "f"], "label": "0"},
        ],
        [question("He", "a", "b", "c", "d", right=3), question("She", "e", "f", right=0)],
    ),
    (
        "HellaSwag without an answer",
        HELLASWAG,
        [{"ctx": "He", "endings": ["a", "b"], "label": ""}, {"ctx": "She", "endings": ["e", "f"], "label": "0"}],
        [question("She", "e", "f", right=0)],
    ),
    (
        "ARC, whose rows name their choices A, B, ... or 1, 2, ...",
        ARC,
        [
            {"question": "Why?", "choices": {"text": ["a", "b", "c"], "label": ["A", "B", "C"]}, "answerKey": "C"},
            {"question": "How?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "1"},
        ],
        [question("Why?", "a", "b", "c", right=2), question("How?", "a", "b", right=0)],
    ),
    (
        "CommonsenseQA as published: a list of objects",
        {"texts": ["question.stem"], "choices": "question.choices", "label": "answerKey"},
        [
            {
                "question": {"stem": "Where?", "choices": [{"label": "A", "text": "a"}, {"label": "B", "text": "b"}]},
                "answerKey": "B",
            }
        ],
        [question("Where?", "a", "b", right=1)],
    ),
    (
        "RACE: letters of places",
        RACE,
        [
            {"article": "Long.", "question": "Who?", "options": ["a", "b", "c", "d"], "answer": "D"},
            {"article": "Short.", "question": "What?", "options": ["e", "f"], "answer": "A"},
        ],
        [question("Long. Who?", "a", "b", "c", "d", right=3), question("Short. What?", "e", "f", right=0)],
    ),
    (
        "MedQA: an object of names and texts, the answer as a text",
        {"texts": ["question"], "choices": "options", "label": "answer"},
        [{"question": "Which?", "options": {"A": "iron", "B": "zinc"}, "answer": "zinc"}],
        [question("Which?", "iron", "zinc", right=1)],
    ),
    (
        "WinoGrande: numbers from 1",
        WINOGRANDE,
        [
            {"sentence": "Ann saw _ .", "option1": "Bob", "option2": "Eve", "answer": "2"},
            {"sentence": "_ saw it.", "option1": "Al", "option2": "Di", "answer": "1"},
        ],
        [question("Ann saw _ .", "Bob", "Eve", right=1), question("_ saw it.", "Al", "Di", right=0)],
    ),
    (
        "WinoGrande with the choice in the blank",
        {**WINOGRANDE, "blank": "_"},
        [
            {"sentence": "The cup broke as _ was old.", "option1": "it", "option2": "he", "answer": "1"},
            {"sentence": "_ saw it.", "option1": "Al", "option2": "Di", "answer": "2"},
        ],
        [
            Question(("The cup broke as it", "The cup broke as he"), ("was old.", "was old."), 0),
            Question(("Al", "Di"), ("saw it.", "saw it."), 1),
        ],
    ),
    (
        "columns of choices that a row need not fill",
        {"texts": ["q"], "choices": ["a", "b", "c"], "label": "key"},
        [{"q": "?", "a": "x", "b": "y", "c": None, "key": 1}, {"q": "!", "a": "x", "b": "y", "c": "z", "key": 0}],
        [question("?", "x", "y", right=1), question("!", "x", "y", "z", right=0)],
    ),
    (
        "names of places that are given",
        {**HELLASWAG, "labels": ["one", "two"]},
        [{"ctx": "He", "endings": ["a", "b"], "label": "two"}],
        [question("He", "a", "b", right=1)],
    ),
    (
        "places from 0, said so",
        {**HELLASWAG, "label_as": "index"},
        [{"ctx": "He", "endings": ["5", "1", "7"], "label": 1}],
        [question("He", "5", "1", "7", right=1)],
    ),
]


@pytest.mark.parametrize(("name", "settings", "rows", "questions"), LAYOUTS, ids=[row[0] for row in LAYOUTS])
def test_layouts(name, settings, rows, questions, tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(task(**settings).load(tmp_path, 0)["dev"].examples) == questions


def test_a_csv_file_holds_a_list_as_json(tmp_path):
    (tmp_path / "a.csv").write_text('ctx,endings,label\nHe,"[""a, b"", ""c""]",1\nShe,"[""d"", ""e""]",0\n')
    made = task(**HELLASWAG, train="a.csv", dev="a.csv")
    assert list(made.load(tmp_path, 0)["dev"].examples) == [
        question("He", "a, b", "c", right=1),
        question("She", "d", "e", right=0),
    ]


def test_copa_as_published(real_data):
    folder = real_data / "more/superglue/COPA"
    data = task(**COPA, train="train.jsonl", dev="val.jsonl").load(folder, 0)
    assert {name: len(split) for name, split in data.items()} == {"train": 32, "dev": 100}
    first = json.loads((folder / "val.jsonl").read_text().splitlines()[0])
    assert data["dev"].examples[0].choices == (first["choice1"], first["choice2"])
    assert data["dev"].examples[0].label == first["label"]


WRONG = [
    # settings, row, part of the message
    (
        HELLASWAG,
        {"ctx": "He", "endings": ["a", "b"], "label": 5},
        "line 1: the answer 5 is none of the choices; expected",
    ),
    (
        HELLASWAG,
        {"ctx": "He", "endings": {"text": "a", "label": "A"}, "label": "A"},
        "expected a list of texts in column",
    ),
    (HELLASWAG, {"ctx": "He", "endings": "a, b", "label": 0}, "expected a list of choices in column 'endings'"),
    (HELLASWAG, {"ctx": "He", "endings": ["a"], "label": 0}, "line 1: expected two choices or more, found ['a']"),
    (HELLASWAG, {"ctx": "He", "endings": ["a", ""], "label": 0}, "line 1: expected a text in choice 2, found nothing"),
    (HELLASWAG, {"ctx": "He", "endings": ["a", None], "label": 0}, "line 1: expected a text in choice 2, found None"),
    (
        HELLASWAG,
        {"ctx": "", "endings": ["a", "b"], "label": 0},
        "line 1: expected a text in column 'ctx', found",
    ),
    ({**HELLASWAG, "labels": ["0", "1"]}, {"ctx": "He", "endings": ["a", "b"], "label": 2}, "the answer 2 is none of"),
    (
        HELLASWAG,
        {"ctx": "He", "endings": ["a", "b"], "label": "right"},
        "line 1: the answer 'right' in column 'label' is neither",
    ),
    (HELLASWAG, {"ctx": "He", "endings": ["a", "b"]}, "line 1: no column 'label'; the columns are ctx, endings"),
    (COPA, {"premise": "x", "question": "y", "choice1": "a", "label": 0}, "line 1: no column 'choice2'"),
    (
        {**WINOGRANDE, "blank": "_"},
        {"sentence": "x", "option1": "a", "option2": "b", "answer": 1},
        "expected '_'",
    ),
    (ARC, {"question": "x", "choices": {"text": ["a", "b"], "label": ["A"]}, "answerKey": "A"}, "1 labels for 2 texts"),
]


@pytest.mark.parametrize(("settings", "row", "message"), WRONG)
def test_a_wrong_row_is_named(settings, row, message, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError) as error:
        task(**settings).load(tmp_path, 0)
    assert message in str(error.value)


def test_impossible_settings():
    with pytest.raises(ValueError, match="choices is not given; name the column of each choice"):
        task(texts=["a"])
    with pytest.raises(ValueError, match="texts must name the columns of the context, got none"):
        task(**{**HELLASWAG, "texts": []})
    with pytest.raises(ValueError, match="column 'endings' cannot be both a text and the label"):
        task(**{**HELLASWAG, "label": "endings"})
