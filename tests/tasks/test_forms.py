"""Files whose ending does not say how they are written: lines of a pattern, folders of classes, rows under a key."""

import gzip
import json

import pytest

from dsee_bench.system.sources import find_files
from dsee_bench.tasks.forms import Form

LABEL_TEXT = r"(?P<label>\S+) (?P<text>.*)"


def cells(form, path):
    return [dict(row.cells) for row in form.rows(path)]


def test_lines_of_a_pattern_in_another_encoding(tmp_path):
    path = tmp_path / "mr.all"
    path.write_bytes("0 silly and tedious .\n1 caf\xe9 soci\xe9ty 2\r\n".encode("latin-1"))
    expected = [{"label": "0", "text": "silly and tedious ."}, {"label": "1", "text": "café sociéty 2"}]
    assert cells(Form(pattern=LABEL_TEXT, encoding="latin-1"), path) == expected
    packed = tmp_path / "mr.all.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert cells(Form(pattern=LABEL_TEXT, encoding="latin-1"), packed) == expected


def test_several_groups_are_several_columns(tmp_path):
    path = tmp_path / "TREC.raw"
    path.write_text("DESC:manner How did serfdom develop ?\n")
    form = Form(pattern=r"(?P<coarse>\w+):(?P<fine>\w+) (?P<text>.*)")
    assert cells(form, path) == [{"coarse": "DESC", "fine": "manner", "text": "How did serfdom develop ?"}]


@pytest.mark.parametrize(("name", "content", "form"), [
    ("a.data", "text\tlabel\nso \"so\"\t1\n", Form(format="tsv")),
    ("a.data", 'text,label\n"so ""so""",1\n', Form(format="csv")),
    ("a.tsv", 'text\tlabel\n"so ""so"""\t1\n', Form(delimiter="\t")),
    ("a.data", '{"text": "so \\"so\\"", "label": "1"}\n', Form(format="jsonl")),
])  # fmt: skip
def test_a_format_by_name(name, content, form, tmp_path):
    (tmp_path / name).write_text(content)
    assert cells(form, tmp_path / name) == [{"text": 'so "so"', "label": "1"}]


def test_folders_of_classes(tmp_path):
    for name, text in {"pos/1_9.txt": "Fine.", "neg/0_1.txt": "Dull\nand long.", "pos/0_7.txt": "Good."}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = cells(Form(format="folders"), tmp_path)
    assert [(row["label"], row["text"]) for row in found] == [
        ("neg", "Dull\nand long."),
        ("pos", "Good."),
        ("pos", "Fine."),
    ]


def test_rows_under_a_key(tmp_path):
    content = {"train": [["set a timer", "timer"]], "val": [{"text": "hi", "label": "greeting"}], "deep": {"test": []}}
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content, indent=1))
    (found,) = find_files(tmp_path, "all.json#train")
    assert cells(Form(columns=("text", "label")), found) == [{"text": "set a timer", "label": "timer"}]
    assert cells(Form(), tmp_path / "all.json#val") == [{"text": "hi", "label": "greeting"}]
    assert cells(Form(), tmp_path / "all.json#deep.test") == []


REFUSED = [
    # content, form, key, part of the message
    ("0 a\nbad\n", Form(pattern=LABEL_TEXT), "", "line 2: 'bad' is no line of the pattern"),
    ("caf\xe9\n", Form(format="txt", encoding="ascii"), "", "not ascii"),
    ('{"train": 3}', Form(), "#train", "expected a list of rows under 'train', found 3"),
    ('{"train": [[1, 2]]}', Form(), "#train", "name as many columns by task.columns"),
    ('{"train": []}', Form(), "#dev", "has no rows under 'dev'; there are train"),
    ('{"train": [4]}', Form(), "#train", "expected a JSON object, found 4"),
    ("[1]", Form(), "#train", "there are no keys"),
]


@pytest.mark.parametrize(("content", "form", "key", "message"), REFUSED)
def test_what_is_refused_names_file_and_rule(content, form, key, message, tmp_path):
    if form.format == "txt":
        form = Form(pattern="(?P<text>.*)", encoding="ascii")
    (tmp_path / "a.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r".") as error:
        cells(form, tmp_path / f"a.json{key}")
    assert message in str(error.value)
    assert "a.json" in str(error.value)


@pytest.mark.parametrize(("settings", "message"), [
    ({"pattern": "("}, "is no regular expression"),
    ({"pattern": "(.*)"}, "names no column"),
    ({"encoding": "latin-0"}, "encoding=latin-0 is not known"),
])  # fmt: skip
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Form(**settings)


def test_a_pattern_of_file_names_takes_several_only_where_that_is_asked(tmp_path):
    for name in ("a.tsv", "b.tsv"):
        (tmp_path / name).touch()
    assert [path.name for path in find_files(tmp_path, "*.tsv", several=True)] == ["a.tsv", "b.tsv"]
    (tmp_path / "t-1-of-2.tsv").touch()
    with pytest.raises(FileNotFoundError, match="should be 2"):
        find_files(tmp_path, "t-*", several=True)
