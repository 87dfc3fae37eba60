"""Files in folders: found by name, or all shards of one by their pattern."""

import pytest

from dsee_bench.system.sources import find_files

FOUND = [
    # files there, pattern, found, why
    (["a.tsv"], "a.tsv", ["a.tsv"], "one file by its name"),
    (["t-1-of-2.x", "t-2-of-2.x", "u-1-of-1.x"], "t-*", ["t-1-of-2.x", "t-2-of-2.x"], "all shards, in order"),
]


@pytest.mark.parametrize(("there", "pattern", "found", "why"), FOUND)
def test_find_files(there, pattern, found, why, tmp_path):
    for name in there:
        (tmp_path / name).touch()
    assert [path.name for path in find_files(tmp_path, pattern)] == found, why


NOT_FOUND = [
    # files there, pattern, part of the message
    (["train.tsv"], "dev.tsv", "holds ['train.tsv']"),
    (["train.tsv"], "RTE/dev.tsv", "holds ['train.tsv']"),
    (["t-1-of-2.x"], "t-*", "should be 2 file(s), found ['t-1-of-2.x']"),
    (["a.csv", "b.csv"], "*.csv", "should be 1 file(s), found ['a.csv', 'b.csv']"),
]


@pytest.mark.parametrize(("there", "pattern", "message"), NOT_FOUND)
def test_files_that_are_not_there(there, pattern, message, tmp_path):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError) as error:
        find_files(tmp_path, pattern)
    assert message in str(error.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none; a\.tsv was to be in it"):
        find_files(tmp_path / "none", "a.tsv")
