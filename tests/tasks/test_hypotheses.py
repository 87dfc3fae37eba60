from pathlib import Path

import pytest

from dsee_bench.tasks.hypotheses import Hypotheses, aligned, read_hypotheses, read_texts, repaired, unquoted

READ = [
    # content,                           texts,            contexts,     why
    (b"a b\nc\n", ("a b", "c"), None, "one text a line"),
    (b"a b\nc", ("a b", "c"), None, "no line feed at the end"),
    (b"\xef\xbb\xbfa\r\nb\r\n", ("a", "b"), None, "byte order mark and Windows line ends"),
    (b"a\n\nb\n", ("a", "", "b"), None, "an empty output stays"),
    (b"\n\n", ("", ""), None, "nothing but empty outputs"),
    ("a\u2028b\u0085c\x0cd\n".encode(), ("a\u2028b\u0085c\x0cd",), None, "only a line feed ends a line"),
    (b"MR\toutput\nx\ta\n\ny\tb\n", ("a", "b"), ("x", "y"), "a table with a header; an empty line there is nothing"),
    (b"x\ta\ny\t\n", ("a", ""), ("x", "y"), "a table without one, and an empty output"),
    (b'"MR"\t"output"\r\n\'x\'\t\'it\'s a\'\r\n"y"\t"say ""b"""\r\n', ("it's a", 'say "b"'), ("x", "y"), "quotes"),
    (b'"mr","output"\n"x, y","a, b"\n', ("a, b",), ("x, y",), "the challenge's CSV"),
]


@pytest.mark.parametrize(("content", "texts", "contexts", "why"), READ)
def test_read(tmp_path, content, texts, contexts, why):
    path = tmp_path / "out.txt"
    path.write_bytes(content)
    read = read_hypotheses(path)
    assert (read.texts, read.contexts) == (texts, contexts), why


ERRORS = [
    (b"", "is empty: it must have one text a line"),
    (b"a\ncaf\xe9\n", "line 2: not UTF-8"),
    ("a\n".encode("utf-16"), "line 1: not UTF-8"),
    (b"x\ta\ny b\n", "line 2: expected context and output, found 1 fields"),
    (b"x\ta\tb\n", "line 1: expected context and output, found 3 fields"),
    (b"MR\toutput\n", "is empty: it has a header and no output"),
]


@pytest.mark.parametrize(("content", "message"), ERRORS)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "out.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_hypotheses(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_texts(tmp_path / "none.txt")


def test_unquoted_and_mended():
    assert [unquoted(field) for field in (" 'a' ", '"a', "a''", '" a "')] == ["a", "a", "a'", "a"]
    assert repaired("Â£20 Ł20 CafÃ© cafã©") == "£20 £20 Café café"


def beside(*rows):
    texts, contexts = zip(*rows, strict=True)
    return Hypotheses(Path("out.tsv"), texts, contexts)


def test_in_order_without_contexts():
    outputs = Hypotheses(Path("out.txt"), ("1", "2"), None)
    assert aligned(outputs, ["a", "a"], str) == ["1", "2"], "a line for each"
    assert aligned(outputs, ["a", "b", "a"], str) == ["1", "2", "1"], "a line for each different one"
    with pytest.raises(
        ValueError, match=r"out.txt has 2 lines, the split has 4 contexts \(or 3, one for each different"
    ):
        aligned(outputs, ["a", "b", "c", "a"], str)
    with pytest.raises(ValueError, match="has 2 lines, the split has 3 contexts; give one line a context"):
        aligned(outputs, ["a", "b", "c"], str)


def test_in_order_with_contexts():
    assert aligned(beside(("1", "B"), ("2", "A")), ["a", "b"], str.lower) == ["2", "1"], "any order, one form"
    assert aligned(beside(("1", "a"), ("2", "a")), ["a", "a"], str) == ["1", "2"], "repeated ones in turn"
    assert aligned(beside(("1", "a")), ["a", "a"], str) == ["1", "1"], "one for both"
    assert aligned(beside(("1", "a"), ("1", "a"), ("2", "b")), ["a", "b"], str) == ["1", "2"], "said twice alike"
    with pytest.raises(ValueError, match="2 different outputs for one context: 'a'"):
        aligned(beside(("1", "a"), ("2", "a")), ["a"], str)
    with pytest.raises(ValueError, match=r"1 have no output \(the first is 'b'\), 1 are not of the split \(.*'c'\)"):
        aligned(beside(("1", "a"), ("2", "c")), ["a", "b"], str)
