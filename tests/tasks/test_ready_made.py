"""Ready-made tasks on real rows in their published layout: counts, classes and single rows, as the files have them.

Expected counts are those that the repositories state, or that wc and grep count; rows were read off the files by eye.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from dsee_bench import plan
from dsee_bench.config.shorthand import spelled_out
from dsee_bench.runs import sweep

ROOT = Path(os.environ.get("DSEE_BENCH_TEST_DATA", ""), "more")
pytestmark = pytest.mark.skipif(
    "DSEE_BENCH_TEST_DATA" not in os.environ or not ROOT.is_dir(), reason="DSEE_BENCH_TEST_DATA has no folder `more`"
)


def load(words, folder):
    settings = plan.read(sweep.resolved([*spelled_out(words), f"data_dir={folder}", "backbone=tiny-bert"]))
    return settings.task, settings.task.load(settings.launch.data_dir, 0)


def names(task, split):
    """How often each class stands in a split, by its name."""
    return Counter(task.labels[row.label] for row in split.examples)


COUNTED = [
    # task, variant, folder, overrides, {split: {class: rows}} or {split: rows}
    ("superglue", "boolq", "superglue", [], {"train": 32, "dev": {"yes": 2033, "no": 1237}}),
    ("superglue", "cb", "superglue", [], {"train": 32, "dev": {"entailment": 23, "contradiction": 28, "neutral": 5}}),
    (
        "superglue", "cb", "superglue", ["task.split.train=CB-csv/train.csv", "task.split.dev=CB-csv/dev.csv"],
        {"train": {"entailment": 115, "contradiction": 119, "neutral": 16}, "dev": 56},
    ),
    ("superglue", "wic", "superglue", [], {"train": 32, "dev": {"yes": 319, "no": 319}}),
    ("superglue", "copa", "superglue", [], {"train": 32, "dev": 100}),
    (
        "nli", "snli_csv", "nli", ["task.split.train=snli/dev.csv"],
        {"dev": {"entailment": 3325, "contradiction": 3275, "neutral": 3231}},
    ),
    ("nli", "snli_cad", "nli/snli-cad", [], {"train": 1666, "dev": 200, "test": 400}),
    (
        "nli", "scitail_csv", "nli", ["task.split.train=scitail/dev.csv"],
        {"dev": {"entails": 842, "neutral": 1284}},
    ),
    (
        "sentences", "trec6", "trec6", [],
        {"train": 5452, "dev": {"DESC": 138, "ENTY": 94, "ABBR": 9, "HUM": 65, "LOC": 81, "NUM": 113}},
    ),
    ("sentences", "trec50", "trec6", [], {"train": 5452, "dev": 500}),
    ("sentences", "sst5", "sst5", [], {"train": 8544, "dev": 1101, "test": 2210}),
    ("sentences", "mr", "mr", [], {"train": {"negative": 4265, "positive": 4265}, "dev": 2132}),
    ("sentences", "subj", "subj", [], {"train": {"objective": 4000, "subjective": 4000}, "dev": 2000}),
    ("sentences", "mpqa", "mpqa", [], {"train": 8484, "dev": 2122}),
    (
        "topics", "dbpedia_dhim", "dbpedia", ["task.split.train=test.csv", "task.split.dev=val.first2000.csv"],
        {"test": 5000, "dev": 2000},
    ),
    ("topics", "imdb_cad", "imdb-cad", [], {"train": {"neg": 851, "pos": 856}, "dev": 245, "test": 488}),
    ("intents", "banking77", "banking77", [], {"train": 10003, "dev": 3080}),
    ("intents", "clinc150", "clinc150", [], {"train": 15100, "dev": 3100, "test": 5500}),
    ("goemotions", "emotions", "goemotions", [], {"train": 43410, "dev": 5426, "test": 5427}),
    ("goemotions", "ekman", "goemotions", [], {"train": 43410, "dev": 5426, "test": 5427}),
    (
        "sts", "sts16", "sts", [],
        {"train": 566, "dev": 141},  # of 209 + 254 + 244 = 707 rated pairs in three files
    ),
    ("sts", "sts15", "sts", [], {"train": 300, "dev": 75}),
]  # fmt: skip


@pytest.mark.parametrize(("task", "variant", "folder", "words", "expected"), COUNTED, ids=lambda value: str(value)[:40])
def test_counts(task, variant, folder, words, expected):
    made, data = load([f"task={task}", f"task.variant={variant}", *words], ROOT / folder)
    for split, counts in expected.items():
        if isinstance(counts, int):
            assert len(data[split]) == counts, split
        else:
            assert names(made, data[split]) == counts, split


ROWS = [
    # task, variant, folder, overrides, split, row, texts and label (or labels) as read off the file
    ("superglue", "wic", "superglue", [], "dev", 0,
     ("class: An emerging professional *class*.",
      "Apologizing for losing your temper, even though you were badly provoked, showed real *class*."), "no"),
    ("superglue", "cb", "superglue", [], "dev", 1,
     ("``Who knows? The point is, do we go with it or not?'' Do we assume there is a shipment?",
      "there is a shipment"), "neutral"),
    ("sentences", "trec6", "trec6", [], "train", 0, ("How did serfdom develop in and then leave Russia ?",), "DESC"),
    ("sentences", "trec50", "trec6", [], "train", 1,
     ("What films featured the character Popeye Doyle ?",), "ENTY:cremat"),
    ("sentences", "subj", "subj", [], "dev", 0,
     ("smart and alert , thirteen conversations about one thing is a small gem . ",), "subjective"),
    ("sentences", "sst5", "sst5", [], "train", 0,
     ("a stirring , funny and finally transporting re-imagining of beauty and the beast and 1930s horror films",),
     "very positive"),
    ("intents", "banking77", "banking77", [], "train", 0, ("I am still waiting on my card?",), "card_arrival"),
    ("intents", "clinc150", "clinc150", [], "train", 15000,
     ("how much is an overdraft fee for bank",), "oos"),
    ("goemotions", "emotions", "goemotions", [], "dev", 1,
     ("You know the answer man, you are programmed to capture those codes they send you, don’t avoid them!",),
     ["approval", "neutral"]),
    ("goemotions", "ekman", "goemotions", [], "dev", 1,
     ("You know the answer man, you are programmed to capture those codes they send you, don’t avoid them!",),
     ["joy", "neutral"]),
    ("topics", "imdb_cad", "imdb-cad", [], "train", 0, None, "neg"),
    ("sts", "sts15", "sts", [], "train", 0,
     ("You'll need to check the particular policies of each publisher to see what is allowed and what is not allowed.",
      "If you need to publish the book and you have found one publisher that allows it."), 3.0),
]  # fmt: skip


@pytest.mark.parametrize(("task", "variant", "folder", "words", "split", "at", "texts", "label"), ROWS)
def test_single_rows(task, variant, folder, words, split, at, texts, label):
    made, data = load([f"task={task}", f"task.variant={variant}", *words], ROOT / folder)
    row = data[split].examples[at]
    assert texts is None or row.texts == texts
    if isinstance(label, list):
        assert [name for name, value in zip(made.labels, row.label, strict=True) if value] == label
    else:
        assert (made.labels[row.label] if isinstance(label, str) else row.label) == label


def test_copa_is_a_question_with_two_choices():
    _, data = load(["task=copa"], ROOT / "superglue")
    row = data["dev"].examples[0]
    assert row.contexts == ("The man turned on the faucet. What was the effect?",) * 2
    assert row.choices == ("The toilet filled with water.", "Water flowed from the spout.")
    assert row.label == 1


def test_pairs_without_a_score_are_said(monkeypatch):
    said = []
    monkeypatch.setattr("dsee_bench.tasks.table_rows.info", said.append)
    load(["task=sts15"], ROOT / "sts")
    assert any("answers-forums.test.tsv: 1,625 rows have no label ('') and are left out" in line for line in said)
