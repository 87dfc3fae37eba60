"""Labels and texts of one row: what is read, what is refused. Files as a whole: test_glue.py and test_custom.py."""

from pathlib import Path

import pytest

from dsee_bench.tasks.labelled import check_task, examples
from dsee_bench.tasks.labels import class_of, number_of
from dsee_bench.tasks.rows import Row

ROW = Row(Path("a.jsonl"), 7, {"text": "a", "label": "no"})

CLASSES = [
    # as written, cell, class, why
    (["no", "yes"], "yes", 1, "by name"),
    (["0", "1"], "0", 0, "a digit in a text file"),
    (["0", "1"], 1, 1, "a whole number in JSON or parquet"),
    (["-1", "1"], -1, 0, "a number as a name"),
    (["0", "1"], 1.0, 1, "what pandas makes of whole numbers beside an empty cell"),
    (["0.5", "1.0"], 1.0, 1, "a number with a fraction, as the file writes it"),
    (["false", "true"], True, 1, "true in JSON or parquet"),
    (["false", "true"], "true", 1, "true in a text file"),
]


@pytest.mark.parametrize(("written", "cell", "index", "why"), CLASSES)
def test_class(written, cell, index, why):
    assert class_of(written)(ROW, cell) == index, why


@pytest.mark.parametrize("cell", ["Yes", "yes ", "", None, True, 1.0, ["yes"]])
def test_what_is_no_class(cell):
    with pytest.raises(ValueError) as error:
        class_of(["no", "yes"])(ROW, cell)
    assert str(error.value) == f"a.jsonl, line 7: unknown label {cell!r}; expected one of 'no', 'yes'"


def test_a_number_for_a_name_says_how_numbers_are_read():
    with pytest.raises(ValueError, match=r"unknown label 1; expected one of 'no', 'yes'; .* task\.label_as=index"):
        class_of(["no", "yes"])(ROW, 1)


NUMBERS = [
    # cell, number, why
    ("3.800", 3.8, "text"),
    (4, 4.0, "a whole number"),
    ("-1e-3", -0.001, "negative, with exponent"),
    (3.799999952316284, 3.8, "3.8 stored in 32 bits"),
    ("4.57142857142857", 4.571429, "the nearest 32-bit number's shortest decimal"),
]


@pytest.mark.parametrize(("cell", "number", "why"), NUMBERS)
def test_number(cell, number, why):
    assert number_of(ROW, cell) == number, why


@pytest.mark.parametrize("cell", ["", "two", "nan", "inf", "1e39", None, True, float("nan"), [1.0]])
def test_what_is_no_number(cell):
    with pytest.raises(ValueError, match="line 7: expected a finite number as label, found"):
        number_of(ROW, cell)


def test_a_text_that_is_no_text():
    with pytest.raises(ValueError, match="line 7: expected a text in column 'text', found 3"):
        list(examples(ROW.path, [Row(ROW.path, 7, {"text": 3, "label": "no"})], texts=["text"], label="label",
                      read_label=class_of(["no", "yes"])))  # fmt: skip


IMPOSSIBLE = [
    # kind, labels, metrics, splits, part of the message
    ("regression", ["a", "b"], ["pearson"], ["train", "dev"], "labels must be [] for regression, got ['a', 'b']"),
    ("classification", ["a"], ["accuracy"], ["train", "dev"], "labels must name at least two classes"),
    ("classification", ["a", "b"], ["pearson"], ["train", "dev"], "metric 'pearson' scores regression"),
    ("classification", ["a", "b"], ["accuracy"], ["train"], "needs a file for the splits train and dev, got ['train']"),
]


@pytest.mark.parametrize(("kind", "labels", "metric_names", "splits", "message"), IMPOSSIBLE)
def test_impossible_tasks(kind, labels, metric_names, splits, message):
    with pytest.raises(ValueError) as error:
        check_task(kind=kind, labels=labels, metric_names=metric_names, splits=splits)
    assert message in str(error.value)


def test_half_a_surrogate_pair_is_named_by_line():
    """JSON can spell it; a tokenizer raises a TypeError for it."""
    row = Row(Path("a.jsonl"), 7, {"text": "a \ud83d", "label": "no"})
    with pytest.raises(ValueError, match=r"a\.jsonl, line 7: column 'text' holds half a surrogate pair"):
        list(examples(row.path, [row], texts=["text"], label="label", read_label=class_of(["no", "yes"])))


def test_a_label_of_thousands_of_digits_is_shown_short():
    with pytest.raises(ValueError) as error:
        class_of(["no", "yes"])(ROW, 10**4000)
    assert len(str(error.value)) < 300
    with pytest.raises(ValueError, match="expected a finite number") as error:
        number_of(ROW, 10**4000)
    assert len(str(error.value)) < 300
