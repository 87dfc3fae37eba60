import pytest

from dsee_bench.config import option
from dsee_bench.config.validate import build
from dsee_bench.tasks.generation import Generation, pairs
from dsee_bench.tasks.webnlg import is_seen, read_copy, read_xml, split_triple

TASK = build(option("task", "webnlg"), "task=webnlg")
# The challenge's entries; texts less the 77 and 10 marked "toFix".
COUNTS = {"train": (6940, 18102 - 77), "dev": (872, 2268 - 10), "test": (1862, 4928)}

XML = """<benchmark><entries>
<entry category="Artist" eid="Id1" size="2"><originaltripleset><otriple>x | y | z</otriple></originaltripleset>
<modifiedtripleset><mtriple>A_B | is in | "C, D"</mtriple><mtriple>C | size | 1.5</mtriple></modifiedtripleset>
<lex comment="good" lid="Id1"> One &amp; two. </lex><lex comment="toFix" lid="Id2">Bad.</lex></entry>
</entries></benchmark>"""


@pytest.mark.parametrize("split", COUNTS)
def test_counts_and_every_form_gives_the_same_examples(real_data, split):
    release, copy = TASK.read(real_data, split), TASK.read(real_data / "lora-nlg", split)
    assert (len(release), len(pairs(release.examples))) == COUNTS[split]
    assert release == copy
    assert all(example.category for example in release.examples)
    assert sum(not example.references for example in release.examples) == {"train": 5, "dev": 1, "test": 0}[split]


def test_seen_and_unseen(real_data):
    test = TASK.read(real_data, "test").examples
    assert sum(map(is_seen, test)) == 971
    assert len({example.category for example in test if not is_seen(example)}) == 5
    assert all(map(is_seen, TASK.read(real_data, "train").examples))


@pytest.mark.parametrize("shape", ["struct of lists", "list of structs"])
def test_the_hubs_rows_are_the_releases(real_data, tmp_path, shape):
    import pyarrow
    from pyarrow import parquet

    release = TASK.read(real_data, "test")

    def cell(rows):
        return rows if shape == "list of structs" else {key: [row[key] for row in rows] for key in rows[0]}

    rows = []
    for example in release.examples:
        triples = [triple.replace(" : ", " | ") for triple in example.context.split(" | ")]
        texts = [{"comment": "good", "lid": "Id1", "text": text} for text in example.references]
        row = {
            "category": example.category,
            "modified_triple_sets": cell([{"mtriple_set": triples}]),
            "lex": cell([*texts, {"comment": "toFix", "lid": "Id9", "text": "left out"}]),
            "test_category": "testdata_with_lex",
        }
        rows += [row, row | {"test_category": "testdata_unseen_with_lex"}] if not is_seen(example) else [row]
    path = tmp_path / "webnlg_challenge_2017" / "test" / "0000.parquet"
    path.parent.mkdir(parents=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    settings = option("task", "webnlg")
    task = build(settings | {"hub": settings["hub"] | {"repo": str(tmp_path)}}, "task")
    assert task.read(None, "test") == release


def test_one_entry(tmp_path):
    (tmp_path / "a.xml").write_text(XML, encoding="utf-8")
    (example,) = read_xml([tmp_path / "a.xml"], "test")
    assert example == Generation('A_B : is in : "C, D" | C : size : 1.5', ("One & two.",), "Artist")
    assert not is_seen(example)


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.xml").write_text(XML.replace("</entry>", ""))
    with pytest.raises(ValueError, match=r"a\.xml is not XML"):
        list(read_xml([tmp_path / "a.xml"], "test"))
    (tmp_path / "a.xml").write_text(XML.replace("C | size | 1.5", "C | size"))
    with pytest.raises(ValueError, match=r"a.xml: expected 'subject \| property \| object', found 'C \| size'"):
        list(read_xml([tmp_path / "a.xml"], "test"))
    (tmp_path / "test.json").write_text('{"entries": [{"1": {"category": "City"}}]}')
    with pytest.raises(ValueError, match="is not LoRA's WebNLG JSON: KeyError"):
        list(read_copy([tmp_path / "test.json"], "test"))


def test_split_triple_needs_three_parts():
    assert split_triple("A | b | C | D", "x") == ["A", "b", "C | D"]
    with pytest.raises(ValueError, match="x: expected"):
        split_triple("A | b", "x")
