import zipfile

import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.e2e import context_of, read_copy, read_release, read_zip
from dsee_bench.tasks.generation import Generation, pairs

TASK = build(option("task", "e2e"), "task=e2e")
COUNTS = {"train": (4862, 42061), "dev": (547, 4672), "test": (630, 4693)}  # the challenge's paper, Table 1


def bare(text):
    return "".join(text.split())


@pytest.mark.parametrize("split", COUNTS)
def test_counts_of_the_release(real_data, split):
    read = TASK.read(real_data / "e2e", split)
    assert (len(read), len(pairs(read.examples))) == COUNTS[split]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_form_gives_the_same_examples(real_data, split):
    release = TASK.read(real_data / "e2e", split)
    zipped = read_zip([real_data / "e2e/e2e-dataset.zip"], split)
    assert release.examples == tuple(zipped)
    copy = TASK.read(real_data / "lora-nlg", split)
    assert [one.context for one in copy.examples] == [one.context for one in release.examples]
    for one, other in zip(copy.examples, release.examples, strict=True):
        assert list(map(bare, one.references)) == list(map(bare, other.references)), "LoRA's copy is tokenised"
    assert copy.examples != release.examples


def test_the_hubs_rows_are_the_releases(real_data, tmp_path):
    import pyarrow
    from pyarrow import parquet

    release = {split: TASK.read(real_data / "e2e", split) for split in ("dev", "test")}
    (tmp_path / "data").mkdir()
    for split, folder in (("dev", "validation"), ("test", "test")):
        meanings = [(one.context, text) for one in release[split].examples for text in one.references]
        columns = {"meaning_representation": [a for a, _ in meanings], "human_reference": [b for _, b in meanings]}
        path = tmp_path / "default" / folder / "0000.parquet"
        path.parent.mkdir(parents=True)
        parquet.write_table(pyarrow.table(columns), path)
    settings = option("task", "e2e")
    task = build(settings | {"hub": settings["hub"] | {"repo": str(tmp_path)}}, "task")
    for split in ("dev", "test"):
        assert task.read(None, split) == release[split]


CONTEXTS = [
    (
        "name[Aromi], eatType[coffee shop], familyFriendly[no]",
        "name : Aromi | Type : coffee shop | family friendly : no",
    ),
    (
        "name[X], priceRange[£20-25], customer rating[5 out of 5]",
        "name : X | price : £ 20 - 25 | customer rating : 5 out of 5",
    ),
    ("name[X],  priceRange[more than £30] ", "name : X | price : more than £ 30"),
    ("name[X, the Y], near[Café Sicilia]", "name : X, the Y | near : Café Sicilia"),
    ("name : Aromi |  Type : pub", "name : Aromi | Type : pub"),
]


@pytest.mark.parametrize(("meaning", "expected"), CONTEXTS)
def test_context(meaning, expected):
    assert context_of(meaning) == expected


@pytest.mark.parametrize("meaning", ["", "Aromi is a pub", "name[Aromi"])
def test_no_context(meaning):
    with pytest.raises(ValueError, match="expected attributes as in"):
        context_of(meaning)


def test_embedded_line_breaks_and_grouping(tmp_path):
    path = tmp_path / "trainset.csv"
    path.write_bytes(
        b'\xef\xbb\xbfmr,ref\r\nname[A],"One,\r\ntwo."\r\nname[B],"Say ""hi"""\r\nname[A],three \r\nname[A],three\r\n'
    )
    assert read_release([path], "train") == [
        Generation("name : A", ("One, two.", "three", "three")),
        Generation("name : B", ('Say "hi"',)),
    ]


ERRORS = [
    (b"x,y\na,b\n", "expected the columns mr and ref, found"),
    (b"mr,ref\nname[A],b,c\n", "line 2: expected 2 fields"),
    (b"mr,ref\nname[A],caf\xe9\n", "not UTF-8 CSV"),
    (b'mr,ref\nname[A],"open\n', "not UTF-8 CSV"),
]


@pytest.mark.parametrize(("content", "message"), ERRORS)
def test_files_that_are_none(tmp_path, content, message):
    (tmp_path / "devset.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_release([tmp_path / "devset.csv"], "dev")


def test_other_broken_forms(tmp_path):
    (tmp_path / "test.txt").write_text("name : A || x\nno bars\n")
    with pytest.raises(ValueError, match=r"test.txt, line 2: expected attributes\|\|text"):
        read_copy([tmp_path / "test.txt"], "test")
    with zipfile.ZipFile(tmp_path / "e2e-dataset.zip", "w") as archive:
        archive.writestr("e2e/README.md", "")
    with pytest.raises(ValueError, match=r"should hold devset.csv once, found none"):
        read_zip([tmp_path / "e2e-dataset.zip"], "dev")
