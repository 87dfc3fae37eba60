"""JSON lines with checksums: what is damaged is left out, and kept aside."""

import json
import logging
import zlib

import pytest

from dsee_bench.system import jsonl

ROWS = [{"step": 1, "text": "añ", "loss": 0.1}, {"step": 2, "text": "b", "loss": None}]


def test_a_line_is_json_and_its_checksum_is_over_the_rest():
    found = json.loads(jsonl.dump({"a": 1}))
    raw = b'{"a": 1}'
    assert found == {"a": 1, "crc32": f"{zlib.crc32(raw):08x}"}
    assert jsonl.parse(jsonl.dump({"a": 1})) == {"a": 1}


DAMAGED = [
    # content of the file, rows that are left, lines in the log
    (lambda text: text, 2, 0),
    (lambda text: text[:-5], 1, 0),  # torn by a kill: no damage
    (lambda text: text.replace('"step": 1', '"step": 3'), 1, 1),
    (lambda text: text.replace("{", "", 1), 1, 1),
    (lambda text: "5\n[]\nnull\n{}\n" + text, 2, 1),
    (lambda text: "[" * 100_000 + "\n" + text, 2, 1),
    (lambda text: "", 0, 0),
]


@pytest.mark.parametrize(("change", "left", "said"), DAMAGED)
def test_damaged_lines_are_left_out_and_told_once(change, left, said, tmp_path, caplog):
    file = tmp_path / "curve.jsonl"
    jsonl.write(file, ROWS)
    file.write_text(change(file.read_text()))
    caplog.set_level(logging.WARNING)
    assert jsonl.read(file) == ROWS[len(ROWS) - left :] or jsonl.read(file) == ROWS[:left]
    assert len(jsonl.read(file)) == left
    assert len(caplog.records) == said, "told once"
    assert (tmp_path / "curve.jsonl.damaged").exists() == bool(said)


def test_bytes_that_are_no_text_and_what_is_no_file(tmp_path, caplog):
    file = tmp_path / "curve.jsonl"
    file.write_bytes(b"\xff\xfe\n" + jsonl.dump(ROWS[0]).encode())
    assert jsonl.read(file) == ROWS[:1]
    file.unlink()
    file.mkdir()
    (file / "inner").touch()
    assert jsonl.read(file) == []
    assert "is no file" in caplog.text
    jsonl.write(file, ROWS)
    assert jsonl.read(file) == ROWS
    assert (tmp_path / "curve.jsonl.damaged" / "inner").exists(), "the last one is kept"
