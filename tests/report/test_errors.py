"""dsee-report errors: the worst answers of a run and what is confused."""

import dataclasses

import pytest
from made_up import keep_answers

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.cli.report import main
from dsee_bench.record import Record
from dsee_bench.report.errors import confusion, errors_text
from dsee_bench.runs import answers, sweep

RUN = Record("r", "finished", {"seed": 0}, {"command": "dsee-bench task=x"})


def table_of(text, title):
    """The cells of the lines under the part of `text` that begins with `title`."""
    (part,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return [line.split() for line in part.splitlines() if line and not line.startswith("-")]


def test_wrong_answers_are_listed_by_the_probability_of_the_answer(tmp_path):
    shares = [[0.4, 0.6], [0.9, 0.1], [0.2, 0.8], [0.05, 0.95]]
    keep_answers(tmp_path, "r", "classification", "dev", [1, 0, 1, 1], [0, 1, 0, 1], probabilities=shares)
    text = errors_text(RUN, tmp_path, None, 2, None)
    assert text.startswith("r, dev: 3 of 4 answers are wrong (75.0%)")
    assert [line[:4] for line in table_of(text, "row")[1:]] == [
        ["1", "0.9000", "no", "yes"], ["2", "0.8000", "yes", "no"],
    ]  # fmt: skip
    assert table_of(text, "references")[2:] == [["no", "0", "2"], ["yes", "1", "1"]]
    assert "2 texts are not shown, since the data at hand have others" in text


def test_of_many_classes_the_pairs_that_are_confused_most_are_listed():
    names = [f"c{number}" for number in range(20)]
    rows = [{"answer": "c1", "reference": "c2"}] * 3 + [{"answer": "c0", "reference": "c0"}] * 9
    rows += [{"answer": "c3", "reference": "c4"}]
    assert [line.split() for line in confusion(rows, names).splitlines()[3:]] == [["c2", "c1", "3"], ["c4", "c3", "1"]]
    assert confusion([{"answer": "c0", "reference": "c0"}], names) == "no class is confused"


def test_numbers_labels_choices_and_texts_have_their_own_order(tmp_path):
    keep_answers(tmp_path, "r", "regression", "dev", [1.0, 5.0, 2.5], [1.5, 2.0, 2.5])
    assert [line[:2] for line in table_of(errors_text(RUN, tmp_path, None, 9, None), "row")[1:]] == [
        ["1", "3.0000"], ["0", "0.5000"], ["2", "0.0000"],
    ]  # fmt: skip
    keep_answers(tmp_path, "r", "multi_label", "dev", [[1, 0], [1, 1], [0, 0]], [[1, 0], [0, 0], [1, 0]])
    text = errors_text(RUN, tmp_path, None, 9, None)
    assert [line[:2] for line in table_of(text, "row")[1:]] == [["1", "2"], ["2", "1"]]
    assert table_of(text, "label")[1:] == [["no", "1", "1", "1"], ["yes", "0", "0", "1"]]
    keep_answers(tmp_path, "r", "multiple_choice", "dev", [2, 0], [1, 0], labels=())
    assert table_of(errors_text(RUN, tmp_path, None, 9, None), "references")[1:] == [
        ["0", "1", "2"], ["0", "1", "0", "0"], ["1", "0", "0", "1"], ["2", "0", "0", "0"],
    ]  # fmt: skip
    said, truth = ["a red pub", "the pub"], [["a red pub"], ["blue pub", "x"]]
    keep_answers(tmp_path, "r", "generation", "test", said, truth)
    text = errors_text(RUN, tmp_path, None, 9, None)
    # "the pub" is "pub": one of one and one of two words, F1 2 / 3.
    assert [line[:2] for line in table_of(text, "row")[1:2]] == [["1", "0.3333"]]


def test_blocks_of_running_text_are_listed_by_their_loss_a_token(tmp_path):
    """Two nats over one token, three over six, and a last block of one token, which predicts nothing."""
    keep_answers(tmp_path, "r", "language_modeling", "dev", [3.0, 2.0, 0.0], [[6.0, 5.0], [1.0, 1.0], [0.0, 0.0]])
    text = errors_text(RUN, tmp_path, None, 9, None)
    assert [line[:2] for line in table_of(text, "row")[1:3]] == [["1", "2.0000"], ["0", "0.5000"]]
    assert "not shown" not in text


def test_what_is_not_there_is_named_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"is missing or damaged.* dsee-bench task=x force=true"):
        errors_text(RUN, tmp_path, None, 5, None)
    keep_answers(tmp_path, "r", "classification", "dev", [1], [1])
    with pytest.raises(ValueError, match="answered the splits dev; --split test is none of them"):
        errors_text(RUN, tmp_path, "test", 5, None)
    assert "0 of 1 answers are wrong" in errors_text(RUN, tmp_path, "dev", 5, None)
    keep_answers(tmp_path, "r", "classification", "dev", [1], [0])
    elsewhere = dataclasses.replace(RUN, config=sweep.resolved(["task=rte"]))
    assert "texts are not shown, since the data cannot be read" in errors_text(
        elsewhere, tmp_path, "dev", 5, str(tmp_path / "no-such")
    )


def test_the_command_shows_the_texts_of_a_run(tmp_path, capsys):
    words = ["task=toy_sentences", "backbone=tiny-bert", "method=lora", "train.max_rows=32", "train.epochs=1"]
    resolved = sweep.resolved([*words, f"results_dir={tmp_path}"])
    assert run(resolved) == 0
    run_id = config.run_id(resolved)
    capsys.readouterr()
    assert main(["errors", run_id, "--results", str(tmp_path), "--count", "3"]) == 0
    said = capsys.readouterr().out
    found = record.read(record.path_of(run_id, tmp_path))
    kept = answers.of_split(answers.path_of(run_id, tmp_path), "dev")
    wrong = sum(a != b for a, b in zip(kept["answers"], kept["references"], strict=True))
    assert f"{wrong} of {len(kept['answers'])} answers are wrong" in said
    assert found.score("accuracy") == pytest.approx(1 - wrong / len(kept["answers"]))
    listed = table_of(said, "row")[1:]
    assert len(listed) == 3
    assert all(len(line) > 5 for line in listed), "each with its text"
