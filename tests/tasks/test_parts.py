"""Which rows an expression takes, compared with what `datasets` itself gives for it."""

import pytest
from datasets import load_dataset

from dsee_bench.tasks.parts import Interval, Part, parts_of, resolve, without

PARTS = [
    # expression, parts, why
    ("train", [Part("train")], "a split"),
    ("train[90%:]", [Part("train", "[90%:]")], "a slice of it"),
    ("train[:10]+validation", [Part("train", "[:10]"), Part("validation")], "two splits"),
    ("a.csv", [Part("a.csv")], "a file"),
    ("all.csv.gz[:-100]", [Part("all.csv.gz", "[:-100]")], "a slice of a file"),
    ("a.csv+b.csv", [Part("a.csv"), Part("b.csv")], "two files"),
    ("a+b.csv", [Part("a+b.csv")], "a plus sign in the name of a file"),
    ("data/train-[0-9]*.parquet", [Part("data/train-[0-9]*.parquet")], "a pattern's brackets are no slice"),
    ("train[:33%](closest)", [Part("train", "[:33%](closest)")], "with the rounding"),
]


@pytest.mark.parametrize(("expression", "parts", "why"), PARTS)
def test_parts(expression, parts, why):
    assert parts_of(expression) == tuple(parts), why


@pytest.mark.parametrize(
    "slice", ["[:]", "[90%:]", "[:10%]", "[33%:66%]", "[5:]", "[-7:]", "[:-7]", "[:1000]", "[50:20]", "[:33%](closest)"]
)
def test_a_slice_takes_the_rows_that_datasets_takes(slice, tmp_path):
    rows = 37
    (tmp_path / "train.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(rows)))
    files = {"train": str(tmp_path / "train.csv")}
    expected = load_dataset("csv", data_files=files, split=f"train{slice}", cache_dir=str(tmp_path))["n"][:]
    (interval,) = resolve(f"train{slice}", lambda name: [name], lambda files: rows)
    end = rows if interval.end is None else interval.end
    assert list(range(interval.begin, end)) == expected


@pytest.mark.parametrize("wrong", ["train[a:]", "train[10]"])
def test_a_slice_that_is_none_is_taken_for_a_name(wrong):
    assert parts_of(wrong) == (Part(wrong),)


@pytest.mark.parametrize("wrong", ["[:200%]", "[-101%:]"])
def test_wrong_bounds(wrong):
    with pytest.raises(ValueError, match=r"write \[FROM:TO\] in rows or percent"):
        Part("train", wrong).bounds(10)


def test_rows_that_another_split_takes():
    files, other = ("a",), ("b",)
    count = {files: 100, other: 10}
    whole = [Interval(files, 0, None), Interval(other, 0, None)]
    left = without([Interval(files, 10, 20), Interval(files, 90, None)], whole, count)
    assert left == [Interval(files, 0, 10), Interval(files, 20, 90), Interval(other, 0, None)]
    assert without([Interval(files, 0, 100)], [Interval(files, 5, 50)], count) == []
    assert without([Interval(files, 50, 60)], [Interval(files, 0, 50)], count) == [Interval(files, 0, 50)]
