"""Rows of files: what is text stays text, and a bad row is named by file and line."""

import gzip

import pytest

from dsee_bench.tasks.rows import read_rows

# U+0085 and U+2028 end a line for str.splitlines, a lone carriage return for text mode; GLUE's format knows neither.
ODD = "a\x85b\u2028c\rd"

READ = [
    # file name, content, columns, rows as (line, cells), why
    ("a.tsv", 'x\ty\n"1"\t2 \n', None, [(2, {"x": '"1"', "y": "2 "})], "TSV: quotes and spaces are text"),
    ("a.tsv", "\ufeffx\ty\r\n1\t2\r\n", None, [(2, {"x": "1", "y": "2"})], "byte order mark, CR LF"),
    ("a.tsv", "x\ty\n1\t\n", None, [(2, {"x": "1", "y": ""})], "an empty field, no line feed lost"),
    ("a.tsv", "x\n1", None, [(2, {"x": "1"})], "no line feed at the end"),
    ("a.tsv", f"x\ty\n{ODD}\t1\n", None, [(2, {"x": ODD, "y": "1"})], "only line feeds end a line"),
    ("a.tsv", "1\t2\n", ["x", "y"], [(1, {"x": "1", "y": "2"})], "no header"),
    (
        "a.csv",
        'x,y\n"1, ""a""\nb",2\n3,4\n',
        None,
        [(3, {"x": '1, "a"\nb', "y": "2"}), (4, {"x": "3", "y": "4"})],
        "CSV",
    ),
    ("a.csv", "\ufeffx,y\r\n1,2\r\n", None, [(2, {"x": "1", "y": "2"})], "byte order mark, CR LF"),
    ("a.csv", 'x,y\n"1\r\n2",3\n', None, [(3, {"x": "1\r\n2", "y": "3"})], "a line break inside quotes is text"),
    ("a.jsonl", '{"x": "é", "y": 1}\n{"y": 2.5}\n', None, [(1, {"x": "é", "y": 1}), (2, {"y": 2.5})], "JSON lines"),
    ("a.tsv", "", None, [], "an empty file"),
]


@pytest.mark.parametrize(("name", "content", "columns", "rows", "why"), READ)
def test_rows(name, content, columns, rows, why, tmp_path):
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert [(row.line, dict(row.cells)) for row in read_rows(path, columns)] == rows, why


REFUSED = [
    # file name, bytes, part of the message
    ("a.tsv", b"x\ty\n1\t2\n1\n", "a.tsv, line 3: expected 2 fields (x, y), found 1: '1'"),
    ("a.tsv", b"x\ty\n1\t2\t3\n", "a.tsv, line 2: expected 2 fields (x, y), found 3"),
    ("a.tsv", b"x\ty\n\n1\t2\n", "a.tsv, line 2: expected 2 fields"),
    ("a.tsv", b"x\tx\n1\t2\n", "a.tsv, line 1: the header names a column twice"),
    ("a.tsv", b"x\ty\n1\t2\n\xff\t2\n", "a.tsv, line 3: not UTF-8"),
    ("a.csv", b"x,y\n1\n", "a.csv, line 2: expected 2 fields (x, y), found 1"),
    ("a.csv", b'x,y\n1,2\n"1"a,2\n', "a.csv, line 3: not a row of CSV"),
    ("a.csv", b'x,y\n1,"2\n', "a.csv, line 2: not a row of CSV"),
    ("a.csv", b"x,y\n1,2\n\xff,2\n", "a.csv, line 3: not UTF-8"),
    ("a.jsonl", b'{"x": 1}\n{"x": 1,}\n', "a.jsonl, line 2: not JSON"),
    ("a.jsonl", b"[1, 2]\n", "a.jsonl, line 1: expected a JSON object, found [1, 2]"),
    ("a.parquet", b"x", "a.parquet is not a parquet file"),
    ("a.xlsx", b"x", "ends in '.xlsx'; the formats known are .tsv, .csv, .jsonl, .json, .txt (each"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_what_is_no_row(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(read_rows(path))
    assert message in str(error.value)


def test_broken_rows_are_left_out_and_counted(tmp_path, caplog):
    path = tmp_path / "a.tsv"
    path.write_text("x\ty\n1\t2\n1\n2\t3\t4\n5\t6\n")
    assert [row.line for row in read_rows(path, broken_rows="drop")] == [2, 5]
    assert "a.tsv: 2 rows of too few or too many fields left out" in caplog.text


def test_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"x": ["a", None], "n": pa.array([1, 2], pa.int32())}), path)
    first, second = read_rows(path)
    assert dict(first.cells) == {"x": "a", "n": 1}
    assert (second.where, second.cells["x"]) == (f"{path}, row 2", None)


ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
WRITTEN = [
    # file name, content, why
    ("a.csv", b"text,label\na,x\nb,y\n\n\n", "empty lines at the end of a CSV file"),
    ("a.csv", b"\ntext,label\n\na,x\n\nb,y\n", "and anywhere else in it"),
    ("a.csv", b"text,label\r\na,x\r\nb,y\r\n\r\n", "CR LF"),
    ("a.csv", b"\xef\xbb\xbftext,label\na,x\nb,y", "a byte order mark, and no line feed at the end"),
    ("a.tsv", b"text\tlabel\na\tx\nb\ty\n\n\n", "empty lines at the end of a TSV file"),
    ("a.tsv", b"text\tlabel\r\na\tx\r\nb\ty\r\n\r\n", "CR LF"),
    ("a.jsonl", b'{"text":"a","label":"x"}\n\n{"text":"b","label":"y"}\n \n', "empty lines in JSON lines"),
    ("a.json", b'[{"text":"a","label":"x"},\n {"text":"b","label":"y"}]\n', "an array of objects"),
    ("a.json", b'{"text":"a","label":"x"}\n{"text":"b","label":"y"}\n', "JSON lines under another ending"),
    ("a.csv.gz", gzip.compress(b"text,label\na,x\nb,y\n", mtime=0), "packed"),
    ("a.tsv.gz", gzip.compress(b"text\tlabel\na\tx\nb\ty\n", mtime=0), "packed"),
    ("a.jsonl.gz", gzip.compress(b'{"text":"a","label":"x"}\n{"text":"b","label":"y"}\n', mtime=0), "packed"),
    ("a.json.gz", gzip.compress(b'[{"text":"a","label":"x"},{"text":"b","label":"y"}]', mtime=0), "packed"),
]


@pytest.mark.parametrize(("name", "content", "why"), WRITTEN)
def test_the_same_rows_however_they_are_written(name, content, why, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert [row.cells for row in read_rows(tmp_path / name)] == ROWS, why


def test_a_field_of_any_length(tmp_path):
    """Python's csv refuses fields of more than 131,072 characters by itself."""
    (tmp_path / "a.csv").write_text(f'text,label\n"{"word, " * 100_000}",x\n')
    (row,) = read_rows(tmp_path / "a.csv")
    assert len(row.cells["text"]) == 600_000


def test_an_empty_line_of_a_file_with_one_column_is_an_empty_cell(tmp_path):
    (tmp_path / "a.tsv").write_text("text\na\n\n")
    assert [row.cells["text"] for row in read_rows(tmp_path / "a.tsv")] == ["a", ""]


DAMAGED = [
    # file name, content, part of the message
    ("a.tsv", b"text\tlabel\na\tx\n\nb\ty\n", "a.tsv, line 3: expected 2 fields"),
    (
        "a.csv",
        b"text;label\na;x\n",
        "line 1: the header 'text;label' is one column; its fields seem to be parted by ';'",
    ),
    ("a.csv", b"text\tlabel\na\tx\n", "parted by TAB, this format parts them by ','"),
    ("a.tsv", b"text,label\na,x\n", "parted by ',', this format parts them by TAB"),
    ("a.csv", b"text,label\na\0b,x\n", "a.csv, line 2: holds a NUL byte"),
    ("a.csv", "text,label\na,x\n".encode("utf-16"), "line 1: not UTF-8"),
    ("a.csv", "text,label\na,x\n".encode("utf-16-le"), "line 1: holds a NUL byte"),
    ("a.csv", b"text,label\na,b,x\n", "a.csv, line 2: expected 2 fields (text, label), found 3"),
    ("a.jsonl", b'{"text":"a","label":' + b"1" * 5000 + b"}\n", "a.jsonl, line 1: JSON that cannot be read"),
    ("a.jsonl", b"[" * 100_000 + b"\n", "a.jsonl, line 1: JSON that cannot be read"),
    ("a.jsonl", b'{"text":"a","label":1,"label":2}\n', "an object names a key twice: text, label, label"),
    ("a.json", b'[{"text":"a"}, 5]', "a.json, row 2: expected a JSON object, found 5"),
    ("a.json", b'[{"text":"a"},\n {"text":]', "a.json: not JSON (Expecting value at line 2, character 10)"),
    ("a.csv.gz", b"text,label\na,x\n", "a.csv.gz is not a whole gzip file"),
    ("a.csv.gz", gzip.compress(b"text,label\n" * 50, mtime=0)[:-9], "a.csv.gz is not a whole gzip file"),
    ("a.parquet", b"PAR1 cut off", "a.parquet is not a parquet file"),
    ("a.parquet.gz", b"", "the formats known are"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED)
def test_a_damaged_file_is_named_on_one_short_line(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(read_rows(tmp_path / name))
    assert message in str(error.value)
    assert name in str(error.value)
    assert len(str(error.value)) < 400


def test_a_parquet_file_with_a_column_twice(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["text", "text"])
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="names a column twice: text, text"):
        list(read_rows(tmp_path / "a.parquet"))
