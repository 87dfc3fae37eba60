import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.generation import pairs
from dsee_bench.tasks.toy_d2t import REFERENCES, describe

NODE = option("task", "toy_d2t")


def test_splits():
    task = build(NODE, "task=toy_d2t")
    splits = task.load(None, seed=0)
    assert {name: len(split) for name, split in splits.items()} == {"train": 320, "dev": 40, "test": 40}
    assert {name: len(pairs(split.examples)) for name, split in splits.items()} == task.rows
    contexts = [example.context for split in splits.values() for example in split.examples]
    assert len(set(contexts)) == len(contexts), "no context stands in two splits"
    texts = {
        name: {word for _, text in pairs(split.examples) for word in text.split()} for name, split in splits.items()
    }
    assert texts["dev"] | texts["test"] <= texts["train"]


def test_the_run_seed_changes_no_row_and_the_data_seed_does():
    assert build(NODE, "task").load(None, seed=0) == build(NODE, "task").load(None, seed=1)
    assert build(NODE | {"seed": 1}, "task").load(None, seed=0) != build(NODE, "task").load(None, seed=0)


CASES = [
    ({"name": "aromi", "type": "pub", "family": "yes"}, "aromi is a pub and it welcomes families ."),
    (
        {"name": "cocum", "type": "coffee shop", "price": "expensive", "food": "thai", "area": "riverside"},
        "cocum is an expensive coffee shop that serves thai food in the riverside .",
    ),
]


@pytest.mark.parametrize(("slots", "first"), CASES)
def test_texts_say_the_context(slots, first):
    texts = describe(slots)
    assert texts[0] == first
    assert len(set(texts)) == REFERENCES
    said = [value for slot, value in slots.items() if slot != "family"]
    assert all(value in text for value in said for text in texts)


def test_settings_that_cannot_be():
    with pytest.raises(ValueError, match="must give train and dev"):
        build(NODE | {"contexts": {"train": 5}}, "task")
    with pytest.raises(ValueError, match="asks for 9002, there are 3720"):
        build(NODE | {"contexts": {"train": 9000, "dev": 2}}, "task")
