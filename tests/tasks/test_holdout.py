"""Rows held out of train: the same for every run, stratified, and none of them trained on."""

from collections import Counter

import pytest

from dsee_bench.tasks.example import Example, split_of
from dsee_bench.tasks.generation import Generation
from dsee_bench.tasks.holdout import hold_out


def data(labels):
    train = split_of("train", [Example((f"text {number}",), label) for number, label in enumerate(labels)])
    return {"train": train, "dev": split_of("dev", [Example(("dev",), labels[0])])}


CASES = [
    # rows of each class, count, held out of each class, why
    ([60, 40], 10, [6, 4], "each class has its share"),
    ([97, 3], 10, [10, 0], "9.7 and 0.3: the larger remainder rounds up"),
    ([5, 5], 1, [1, 0], "equal remainders: the first class"),
    ([9, 1], 5, [5, 0], "the only row of a class stays in train"),
    ([9, 1], 9, [8, 1], "unless more rows are asked for than the others have to spare"),
    ([2, 2, 2], 3, [1, 1, 1], "one each"),
]


@pytest.mark.parametrize(("sizes", "count", "expected", "why"), CASES)
def test_classes_keep_their_shares(sizes, count, expected, why):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    before = data(labels)
    after = hold_out(before, count, seed=0)
    counts = Counter(example.label for example in after["validation"].examples)
    assert [counts[label] for label in range(len(sizes))] == expected, why
    both = [*after["train"].examples, *after["validation"].examples]
    assert sorted(both, key=lambda example: int(example.texts[0].split()[1])) == list(before["train"].examples)
    assert list(after) == ["train", "validation", "dev"]
    assert after["dev"] is before["dev"]


def test_the_draw_depends_on_the_seed_and_nothing_else():
    before = data([0, 1] * 50)
    assert hold_out(before, 20, seed=0) == hold_out(before, 20, seed=0)
    assert hold_out(before, 20, seed=0) != hold_out(before, 20, seed=1)


def test_real_numbers_are_drawn_from_all_rows():
    after = hold_out(data([number / 10 for number in range(100)]), 25, seed=0)
    assert [len(after[name]) for name in ("train", "validation")] == [75, 25]


def test_a_context_is_held_out_with_all_its_texts():
    train = split_of("train", [Generation(f"c{number}", ("a", "b")) for number in range(10)])
    after = hold_out({"train": train}, 3, seed=0)
    assert [len(after[name]) for name in ("train", "validation")] == [7, 3]


@pytest.mark.parametrize("count", [10, 11])
def test_something_must_be_left_to_train_on(count):
    with pytest.raises(ValueError, match=rf"train.validation holds out {count} of 10 training rows; leave some"):
        hold_out(data([0, 1] * 5), count, seed=0)
