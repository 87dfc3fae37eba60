"""The answers of a run in a parquet file."""

import hashlib
import json

import pandas as pd
import pytest
from made_up import keep_answers

from dsee_bench.runs import answers
from dsee_bench.tasks.example import Question


@pytest.mark.parametrize(
    ("kind", "said", "truth", "written"),
    [
        ("classification", [1, 0], [0, 0], [("yes", "no"), ("no", "no")]),
        ("multi_label", [[1, 1], [0, 0]], [[0, 1], [1, 0]], [(["no", "yes"], ["yes"]), ([], ["no"])]),
        ("multiple_choice", [2, 0], [1, 0], [(2, 1), (0, 0)]),
        ("regression", [0.5, 4.25], [1.0, 4.0], [(0.5, 1.0), (4.25, 4.0)]),
        ("generation", ["a pub", ""], [["a pub", "pub"], ["x"]], [("a pub", ["a pub", "pub"]), ("", ["x"])]),
        ("language_modeling", [12.5, 3.0], [[7.0, 5.5], [2.0, 1.0]], [(12.5, [7.0, 5.5]), (3.0, [2.0, 1.0])]),
    ],
)
def test_any_reader_of_parquet_finds_names_and_compare_finds_places(kind, said, truth, written, tmp_path):
    keep_answers(tmp_path, "r", kind, "dev", said, truth, texts=["größer", "b"])
    path = answers.path_of("r", tmp_path)
    frame = pd.read_parquet(path)
    rows = [[list(cell) if hasattr(cell, "tolist") else cell for cell in row] for row in
            frame[["answer", "reference"]].itertuples(index=False)]  # fmt: skip
    assert rows == [list(row) for row in written]
    assert list(frame["row"]) == [0, 1]
    assert set(frame["split"]) == {"dev"}
    assert frame["text_sha256"][0] == hashlib.sha256('["größer"]'.encode()).hexdigest()
    assert answers.of_split(path, "dev") == {"answers": said, "references": truth}
    assert answers.of_split(path, "test") is None


def test_probabilities_and_categories_stand_beside_them(tmp_path):
    shares = [[0.25, 0.75], [1.0, 0.0]]
    keep_answers(tmp_path, "r", "classification", "dev", [1, 0], [1, 1], probabilities=shares)
    path = answers.path_of("r", tmp_path)
    assert answers.of_split(path, "dev")["probabilities"] == shares
    keep_answers(tmp_path, "r", "generation", "test", ["a", "b"], [["a"], ["b"]], categories=["seen", None])
    assert answers.of_split(path, "test")["categories"] == ["seen", None]


def test_no_file_a_damaged_one_and_one_of_another_maker_hold_no_answers(tmp_path):
    path = answers.path_of("r", tmp_path)
    assert answers.read(path) is None
    keep_answers(tmp_path, "r", "classification", "dev", [0, 1] * 500, [1, 1] * 500)
    whole = path.read_bytes()
    assert answers.read(path) is not None
    for damaged in (whole[: len(whole) // 2], whole[:40] + bytes([whole[40] ^ 255]) + whole[41:], b""):
        path.write_bytes(damaged)
        assert answers.read(path) is None
    pd.DataFrame({"split": ["dev"], "answer": [1]}).to_parquet(path)
    assert answers.read(path) is None


def test_the_texts_of_a_question_are_its_contexts_and_its_choices():
    question = Question(("the sky is", "the sky is"), ("blue", "red"), 0)
    assert answers.texts_of(question) == ["the sky is", "blue", "red"]
    expected = hashlib.sha256(json.dumps(["the sky is", "blue", "red"]).encode()).hexdigest()
    assert answers.text_sha256(question) == expected
