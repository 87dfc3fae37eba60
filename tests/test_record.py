"""Records: what goes in comes out, a reader never sees half a file, and what is no record is refused by name."""

import json
import os
import threading
from dataclasses import replace

import pytest

from dsee_bench import record
from dsee_bench.record import Cost, Record, Score, StageLog

FULL = Record(
    run_id="rte-minilm-dsee-s0-1a2b3c4d",
    status="finished",
    config={"seed": 0, "task": {"name": "rte", "kinds": ["query", "value"]}, "limit": None},
    made_by={"command": "dsee-bench task=rte", "commit": "c0ffee", "dirty": False},
    checkpoint="best dev",
    scores=(
        Score("accuracy", 0.1 + 0.2, "0-1", "higher", "dev", 277, "accuracy|Ω"),
        Score("matthews", None, "-1-1", "higher", "dev", 277, "matthews", "one class only"),
    ),
    costs=(Cost("trainable_parameters", 592_896, "parameters", "adapter"), Cost("latency_ms", None, "ms", "a forward")),
    stages=(StageLog("tune", 1.5, 2**33, {"curve": [{"step": 1, "loss": 0.7}]}), StageLog("prune", 0.1, None)),
    data={"dev": {"n": 277, "sha256": "ab" * 32}},
)
FAILED = Record("x", "failed", {}, {}, error="Traceback ...\nValueError: no")


@pytest.mark.parametrize("given", [FULL, FAILED], ids=["full", "failed"])
def test_round_trip_is_equal_to_the_last_digit(given, tmp_path):
    path = record.write(given, tmp_path)
    assert path == tmp_path / "runs" / f"{given.run_id}.json"
    assert record.read(path) == given
    assert list(record.read_all(tmp_path)) == [given]


def test_the_same_record_is_the_same_bytes(tmp_path):
    first = record.write(FULL, tmp_path).read_bytes()
    assert record.write(FULL, tmp_path).read_bytes() == first
    assert first.endswith(b"}\n")
    assert "Ω".encode() in first  # not escaped: records are read by people too


NOT_FINITE = [
    # what is changed,                                                     named,         why
    ({"config": {"train": {"rate": float("nan")}}}, "config.train.rate: nan", "inside nested dicts"),
    ({"costs": (Cost("flops", float("inf"), "FLOPs", ""),)}, "costs.0.value: inf", "an infinity too"),
    (
        {"stages": (StageLog("a", 1, None, {"curve": [{"x": float("nan")}]}),)},
        "stages.0.facts.curve.0.x: nan",
        "in lists",
    ),
]


@pytest.mark.parametrize(("change", "named", "why"), NOT_FINITE)
def test_a_number_that_is_none_is_null_and_its_place_is_named(change, named, why, tmp_path):
    path = record.write(replace(FULL, **change), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    found = record.read(path)
    assert found.not_finite == [named], why
    assert record.read(record.write(found, tmp_path)).not_finite == [named], "kept where the record is written again"


def test_a_record_that_names_foreign_code_is_refused(tmp_path):
    foreign = {"task": {"_target_": "os.system"}, "method": {"stages": {}}}
    path = record.write(replace(FULL, config=foreign), tmp_path)
    with pytest.raises(ValueError, match=r"task\._target_=os\.system must name a class of dsee_bench"):
        record.read(path)


BROKEN = [
    # content,                            says,                      why
    ("", "is not a record", "an empty file"),
    ('{"schema": 2, "run_id"', "is not a record", "half a file"),
    (b"\xff\xfe{}", "is not a record", "not UTF-8"),
    ("[]", "schema None", "no object"),
    ('{"run_id": "x"}', "schema None", "no schema"),
    (json.dumps({"schema": 3, "run_id": "x"}), "schema 3, this version reads 2", "a newer schema"),
    (json.dumps({"schema": 2, "run_id": "x", "colour": "red"}), "colour", "a field nobody knows"),
    (json.dumps({"schema": 2, "run_id": "x"}), "missing", "a field that lacks"),
    (json.dumps({"schema": 2, "scores": [{"name": "a"}]}), "missing", "half a score"),
]


@pytest.mark.parametrize(("content", "says", "why"), BROKEN)
def test_what_is_no_record_is_refused_with_its_file(content, says, why, tmp_path):
    path = tmp_path / "runs" / "bad.json"
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as refused:
        list(record.read_all(tmp_path))
    assert str(path) in str(refused.value), why
    assert says in str(refused.value), why


def test_a_failed_write_leaves_the_old_record_and_no_litter(tmp_path, monkeypatch):
    path = record.write(FULL, tmp_path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        record.write(replace(FULL, status="failed"), tmp_path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_never_sees_half_a_record(tmp_path):
    """One thread writes two different records to one path in turn, this one reads: always one of the two."""
    either = [FULL, replace(FULL, status="failed", error="x" * 200_000)]
    path = record.write(either[0], tmp_path)
    stop = threading.Event()

    def write_in_turn() -> None:
        turn = 0
        while not stop.is_set():
            record.write(either[turn := 1 - turn], tmp_path)

    writer = threading.Thread(target=write_in_turn)
    writer.start()
    try:
        seen = {record.read(path).status for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen == {"finished", "failed"}


def test_a_record_is_as_readable_as_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    assert record.write(FULL, tmp_path).stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_temporary_file_is_not_a_record(tmp_path):
    record.write(FULL, tmp_path)
    (tmp_path / "runs" / ".half.json.x1.tmp").write_text("{")
    assert [each.run_id for each in record.read_all(tmp_path)] == [FULL.run_id]


def test_a_score_or_cost_is_asked_for_by_name():
    assert FULL.score("accuracy") == 0.1 + 0.2
    assert FULL.score("matthews") is None
    assert FULL.cost("latency_ms") is None
    with pytest.raises(KeyError, match="'bleu' is recorded 0 times"):
        FULL.score("bleu")
    with pytest.raises(KeyError, match="'accuracy' is recorded 0 times"):
        FULL.score("accuracy", split="test")


def test_an_empty_folder_has_no_records(tmp_path):
    assert list(record.read_all(tmp_path)) == []
