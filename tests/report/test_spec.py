"""Every table in conf/table is well described, and a wrong description is refused with its file and key."""

import pytest

from dsee_bench.config import CONF, ConfigError
from dsee_bench.report.spec import read_spec, spec_paths

FOUND = spec_paths(CONF / "table", [])


def test_there_are_tables():
    assert len(FOUND) >= 7


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_every_table_is_well_described(path):
    assert read_spec(path).title


GOOD = "title: T\nsplit: dev\ndigits: 1\nother_methods: true\nrows: []\ncosts: []\n"
WRONG = [
    # YAML,                                                              says,                        why
    (GOOD + "colums: []\n", "did you mean 'columns'", "a misspelt key"),
    (GOOD + "columns:\n  - {task: rte, scor: f1, label: x}\n", "'scor' is no key of", "a misspelt inner key"),
    (
        GOOD + "columns:\n  - {task: rte, score: f1, label: x, colour: red}\n",
        "columns.0. There are: task",
        "an unknown inner key",
    ),
    (
        GOOD.replace("digits: 1\n", ""),
        "t.yaml has no digits, which every file of its kind needs",
        "a key that is missing",
    ),
    (GOOD.replace("digits: 1", "digits: one"), "digits=one", "a wrong type"),
    (GOOD + "columns: []\naverage: {label: A, over: [RTE]}\n", "no column is called ['RTE']", "an average of nothing"),
    (GOOD + "columns:\n" + 2 * "  - {task: a, score: b, label: x}\n", "labels must differ", "two columns of a name"),
]


@pytest.mark.parametrize(("text", "says", "why"), WRONG)
def test_a_wrong_description_is_refused(text, says, why, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_spec(path)
    assert says in str(refused.value), why
    assert str(path) in str(refused.value)


def test_an_unknown_table_is_named_with_the_nearest(tmp_path):
    (tmp_path / "glue.yaml").touch()
    with pytest.raises(ConfigError, match=r"no table 'glu'; did you mean 'glue'. There are: glue"):
        spec_paths(tmp_path, ["glu"])
