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


TWO_WAYS = {
    "name": "viggo",
    "hub": None,
    "split": {"train": None, "dev": None},
    "from_hub": {"hub": "GEM/viggo", "split": {"train": "train", "dev": "validation"}, "prompt": "{target}"},
    "from_files": {"split": {"train": "train.csv", "dev": "valid.csv"}, "prompt": "{mr}"},
}


@pytest.mark.parametrize(
    ("data_dir", "hub", "dev", "prompt"), [(None, "GEM/viggo", "mine", "{target}"), ("d", None, "mine", "{mr}")]
)
@pytest.mark.parametrize("family", [False, True])
def test_the_hub_and_the_published_files_are_two_sources(data_dir, hub, dev, prompt, family):
    node = {**TWO_WAYS, "split": {"train": None, "dev": "mine"}}
    if family:
        node = {"split": {"dev": "mine"}, "variant": "v", "variants": {"v": TWO_WAYS}}
    made = chosen(OmegaConf.create({"task": node, "data_dir": data_dir})).task
    assert (made.get("hub"), made.split.dev, made.prompt) == (hub, dev, prompt)
    assert not {"from_hub", "from_files", "variant", "variants"} & {*made}


def test_a_source_that_there_is_not():
    for data_dir, kept, said in ((None, "from_files", "only be read by data_dir=DIR"), ("d", "from_hub", "on the hub")):
        node = {key: value for key, value in TWO_WAYS.items() if key == kept or not key.startswith("from_")}
        with pytest.raises(ConfigError, match=f"task viggo can {'only be read' if data_dir else ''}.*{said[-8:]}"):
            chosen(OmegaConf.create({"task": node, "data_dir": data_dir}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "the task is a family of tasks; choose one by task.variant=NAME: cb, wic"),
        ({"name": "superglue"}, "superglue is a family"),
        ({"variant": "wik"}, r"task.variant=wik is no variant of the task.* 'wic'.* There are: cb, wic"),
    ],
)
def test_a_name_that_there_is_not(changes, said):
    with pytest.raises(ConfigError, match=said):
        chosen(composed(**changes))


def test_another_task_stays_as_it_is():
    plain = OmegaConf.create({"task": {"name": "rte"}})
    assert chosen(plain) is plain
