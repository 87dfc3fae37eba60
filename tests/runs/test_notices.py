"""What is said of data and scores: rows that are cut, classes that are missing, scores of nothing."""

import pytest
from omegaconf import OmegaConf

from dsee_bench import config, record
from dsee_bench.cli.bench import run
from dsee_bench.metrics import score
from dsee_bench.runs import notices
from dsee_bench.runs.notices import of_scores

LONG = "fine " * 40


def start(folder, rows, dev, *words):
    """What a run on these rows says, and its record."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    for name, content in (("train", rows), ("dev", dev)):
        (data / f"{name}.csv").write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in content))
    words = [
        *("backbone=tiny-bert", "method=full", "device=cpu", "threads=1", "task=custom", "task.labels=[neg,pos]"),
        *("task.train=train.csv", "task.dev=dev.csv", f"data_dir={data}", f"results_dir={folder}/results"),
        *("train.max_length=16", "train.epochs=1", *words),
    ]
    resolved = OmegaConf.to_container(config.compose(words), resolve=True)
    assert run(resolved, words) == 0
    return record.read(record.path_of(config.run_id(resolved), folder / "results"))


def warned(text):
    return [line for line in text.splitlines() if line.startswith("warning: ")]


BOTH = [("bad", "neg"), ("fine", "pos")]


def test_cut_rows_are_counted_also_where_the_tuning_is_reused(tmp_path, capsys):
    rows, dev = [*BOTH, (LONG, "pos")] * 2, [*BOTH, (LONG, "neg")]
    found = start(tmp_path, rows, dev)
    said = warned(capsys.readouterr().err)
    assert said == [
        "warning: train: 2 of 6 rows are longer than train.max_length=16 and are cut",
        "warning: dev: 1 of 3 rows are longer than train.max_length=16 and are cut",
    ]
    assert {name: split["cut"] for name, split in found.data.items()} == {"train": 2, "dev": 1}
    record.path_of(found.run_id, tmp_path / "results").unlink()
    again = start(tmp_path, rows, dev)
    told = capsys.readouterr().err
    assert "reused" in told
    assert warned(told) == said
    assert again.data == found.data


def test_only_the_rows_used_are_counted(tmp_path, capsys):
    found = start(tmp_path, [*BOTH, (LONG, "pos")], BOTH, "train.max_rows=2")
    assert (found.data["train"]["n"], found.data["train"]["cut"]) == (3, 0)
    assert warned(capsys.readouterr().err) == []


ONE_CLASS = [
    # train,                     dev,                what is said
    ([("bad", "neg")] * 2, BOTH, ["train: no row is of the class 'pos', so it is not learned; check task.labels"]),
    (BOTH, [("bad", "neg")] * 2, ["dev: every row is of the class 'neg'; scores on it tell little"]),
]


@pytest.mark.parametrize(("rows", "dev", "expected"), ONE_CLASS)
def test_a_missing_class_is_said(rows, dev, expected, tmp_path, capsys):
    start(tmp_path, rows, dev)
    assert warned(capsys.readouterr().err) == [f"warning: {line}" for line in expected]


SCORES = [
    ("f1", [0, 0], [1, 0], ["dev f1 is 0: no answer is of class 1"]),
    ("f1", [1, 0], [0, 0], ["dev f1 is 0: no reference is of class 1"]),
    ("f1", [0, 0], [0, 0], ["dev f1 is undefined: class 1 is neither in the answers nor in the references"]),
    ("f1", [0, 1], [1, 0], []),  # wrong everywhere: a true 0
    ("matthews", [1, 1], [1, 0], ["dev matthews is 0: all answers are of one class"]),
    ("matthews", [1, 0], [0, 0], ["dev matthews is 0: all references are of one class"]),
]


@pytest.mark.parametrize(("name", "answers", "references", "expected"), SCORES)
def test_a_score_of_nothing_is_said(name, answers, references, expected):
    assert list(of_scores(score([name], answers, references, "dev"))) == expected


@pytest.mark.parametrize(
    ("precision", "on_cpu", "native", "lines"),
    [
        ("bf16", True, False, 1),
        ("auto", True, False, 0),
        ("fp32", True, False, 0),
        ("bf16", True, True, 0),
        ("bf16", False, False, 0),
    ],
)
def test_bf16_that_the_processor_emulates_is_told(monkeypatch, precision, on_cpu, native, lines):
    monkeypatch.setattr(notices, "multiplies_bf16", lambda: native)
    said = list(notices.of_precision(precision, on_cpu=on_cpu))
    assert len(said) == lines
    assert all(line.startswith("train.precision=bf16: ") and "train.precision=auto" in line for line in said)
