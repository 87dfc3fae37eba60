"""A family of tasks in one file: what a variant fills in, what an override keeps, and a name that there is not."""

import pytest
from omegaconf import OmegaConf

from dsee_bench.config import ConfigError
from dsee_bench.config.variants import chosen

FAMILY = {
    "name": None,
    "texts": ["a"],
    "label": None,
    "split": {"train": "train", "dev": None},
    "rows": {},
    "variant": None,
    "variants": {
        "cb": {"name": "cb", "label": "y", "split": {"dev": "validation"}, "rows": {"train": 250}},
        "wic": {"name": "wic", "texts": ["b"], "extra": 1},
    },
}


def composed(**changes):
    made = OmegaConf.create({"task": {**FAMILY, **changes}, "other": "${task.name}"})
    OmegaConf.set_struct(made, True)
    return made


def test_a_variant_fills_what_is_null():
    made = chosen(composed(variant="cb"))
    assert made.task == {
        "name": "cb", "texts": ["a"], "label": "y", "split": {"train": "train", "dev": "validation"},
        "rows": {"train": 250},
    }  # fmt: skip
    assert made.other == "cb", "what refers to the task sees the variant"


def test_what_is_given_stays():
    made = chosen(composed(variant="cb", label="mine", split={"train": "a.csv", "dev": "b.csv"}))
    assert (made.task.label, made.task.split.dev, made.task.name) == ("mine", "b.csv", "cb")
    assert chosen(composed(variant="wic")).task.texts == ["a"], "a value of the family is not null"
    assert chosen(composed(variant="wic")).task.extra == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "this task is a family of tasks; choose one by task.variant=NAME: cb, wic"),
        ({"name": "superglue"}, "superglue is a family"),
        ({"variant": "wik"}, r"task.variant=wik is no variant of this task.* 'wic'.* There are: cb, wic"),
    ],
)
def test_a_name_that_there_is_not(changes, said):
    with pytest.raises(ConfigError, match=said):
        chosen(composed(**changes))


def test_another_task_stays_as_it_is():
    plain = OmegaConf.create({"task": {"name": "rte"}})
    assert chosen(plain) is plain
