"""The cache of read records: it gives what the files say, whatever happens to them or to it."""

import json
import multiprocessing
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from dsee_bench import record
from dsee_bench.config.launch import default_results_dir
from dsee_bench.record import StageLog
from dsee_bench.report import record_cache, record_store
from dsee_bench.report.record_cache import LONG, RecordCache
from dsee_bench.report.records import read_all, read_usable


@pytest.fixture(autouse=True)
def files_are_settled(monkeypatch):
    """The files of a test are younger than those that are kept."""
    monkeypatch.setattr(record_cache, "YOUNG", -1.0)
    monkeypatch.setattr(record_cache, "YOUNG_COARSE", -1.0)


@pytest.fixture
def no_file_is_read(monkeypatch):
    def forbid():
        def fail(path):
            raise AssertionError(f"{path} was read again")

        monkeypatch.setattr(record_cache, "read_usable", fail)

    return forbid


def short(whole):
    """A record without the curves and maps of its stages."""
    stages = (replace(s, facts={key: value for key, value in s.facts.items() if key not in LONG}) for s in whole.stages)
    return replace(whole, stages=tuple(stages))


def cache_of(results: Path) -> Path:
    return results / "work" / record_cache.FILE


def test_every_committed_record_comes_back_as_it_is(tmp_path, no_file_is_read):
    (tmp_path / "runs").symlink_to(default_results_dir() / "runs")
    whole = [read_usable(path) for path in record.paths(tmp_path)]
    assert any("curve" in stage.facts for run in whole for stage in run.stages)
    first = read_all(tmp_path)
    no_file_is_read()
    second = read_all(tmp_path)
    assert first.records == second.records == list(map(short, whole))
    assert len(second.records) > 200
    grid = [run for run in second.records if run.config["train"].get("name") == "glue_small"]
    seeds = [run.config["method"] for run in grid if run.run_id.startswith("cola-minilm-lora-s")]
    assert len(seeds) == 3
    assert len({id(method) for method in seeds}) == 1  # what they share is in memory once


def test_a_summary_says_what_the_status_shows(results, no_file_is_read):
    for _ in range(2):
        with RecordCache(results, "summary") as cache:
            summaries = {run.run_id: run for run in map(cache.read, record.paths(results))}
        no_file_is_read()
    for run in record.read_all(results):
        summary = summaries[run.run_id]
        assert (summary.status, summary.config["seed"]) == (run.status, run.config["seed"])
        assert summary.config["method"]["name"] == run.config["method"]["name"]
        if run.status == "failed":
            assert summary.made_by["command"] == run.made_by["command"]
            assert summary.error == run.error.splitlines()[-1]


def value_of(results: Path, path: Path) -> float:
    (run,) = [run for run in read_all(results).records if run.run_id == path.stem]
    return run.scores[0].value


def test_a_changed_file_is_read_again_though_size_and_time_are_the_same(results):
    path = next(path for path in record.paths(results) if "-lora-" in path.name)
    before, status = path.read_text(), path.stat()
    value = value_of(results, path)
    assert '"value": 0.6,' in before
    path.write_text(before.replace('"value": 0.6,', '"value": 0.7,'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert (value, value_of(results, path)) == (0.6, 0.7)


def test_a_file_that_may_still_change_unseen_is_not_kept(results, monkeypatch):
    monkeypatch.setattr(record_cache, "YOUNG", 3600.0)
    monkeypatch.setattr(record_cache, "YOUNG_COARSE", 3600.0)
    read_all(results)
    with sqlite3.connect(cache_of(results)) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (0,)
    connection.close()


def test_a_removed_or_unusable_record_is_forgotten(results):
    before = read_all(results)
    first, second, *_ = record.paths(results)
    first.unlink()
    second.write_text("{")
    after = read_all(results)
    assert after.records == [run for run in before.records if run.run_id not in (first.stem, second.stem)]
    assert len(after.left_out) == 1
    with sqlite3.connect(cache_of(results)) as connection:
        assert (first.stem,) not in connection.execute("SELECT name FROM records").fetchall()
    connection.close()


def with_other_bytes(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    match kind:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "text":
            path.write_text("no database")
        case "zeros":
            path.write_bytes(bytes(len(content)))
        case "flipped":  # a bit in every hundredth byte after the header
            for place in range(100, len(content), 100):
                content[place] ^= 1
            path.write_bytes(content)
        case "folder":
            path.unlink()
            path.mkdir()
        case "pipe":
            path.unlink()
            os.mkfifo(path)
        case "link":
            path.unlink()
            path.symlink_to(path.parent / "elsewhere")


DAMAGES = ["empty", "cut", "text", "zeros", "flipped", "folder", "pipe", "link"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_cache_changes_nothing_and_is_made_anew(results, kind, no_file_is_read):
    before = read_all(results)
    with_other_bytes(cache_of(results), kind)
    assert read_all(results) == before
    if kind in ("folder", "pipe", "link"):
        assert not (results / "work" / "elsewhere").exists()
        return
    read_all(results)  # where the damage was found by this reading only, the next one writes
    read_all(results)
    no_file_is_read()
    assert read_all(results) == before


@pytest.mark.parametrize("column", ["summary", "rest", "file"])
def test_an_entry_that_another_program_changed_is_not_believed(results, column):
    before = read_all(results)
    connection = sqlite3.connect(cache_of(results))
    names = [name for (name,) in connection.execute("SELECT name FROM records ORDER BY name")]
    query = f"UPDATE records SET {column} = (SELECT {column} FROM records WHERE name = ?)"
    connection.execute(query, (names[0],))
    connection.commit()
    connection.close()
    assert read_all(results) == before
    with RecordCache(results, "summary") as cache:
        assert [cache.read(path).run_id for path in record.paths(results)] == names


def test_a_shared_value_that_another_program_changed_is_not_believed(results):
    before = read_all(results)
    connection = sqlite3.connect(cache_of(results))
    connection.execute("UPDATE shared SET text = replace(text, '0.0005', '0.0007')")
    connection.commit()
    connection.close()
    assert read_all(results) == before


def test_other_code_reads_every_file_itself(results, monkeypatch):
    read_all(results)
    monkeypatch.setattr(record_store, "_code", lambda: "other code")
    read = []
    monkeypatch.setattr(record_cache, "read_usable", lambda path: read.append(path) or read_usable(path))
    read_all(results)
    assert read == record.paths(results)


def test_a_folder_that_cannot_be_written_is_reported_all_the_same(results):
    (results / "work").write_text("a file where the folder should be")
    assert len(read_all(results).records) == 19


def test_a_locked_cache_is_not_waited_for_without_end(results, monkeypatch):
    before = read_all(results)
    monkeypatch.setattr(record_store, "WAIT", 0.1)
    connection = sqlite3.connect(cache_of(results), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    assert read_all(results) == before
    connection.close()


def test_two_processes_at_once_give_the_same(make, tmp_path):
    for seed in range(300):
        stages = (StageLog("tune", 1, None, {"steps": seed}),)
        record.write(replace(make("rte", "lora", seed, 0.5 + seed / 1000), stages=stages), tmp_path)
    expected = [json.loads(path.read_text())["scores"][0]["value"] for path in record.paths(tmp_path)]
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        found = pool.map(values, [tmp_path] * 6)
    assert found == [expected] * 6


def values(results: Path) -> list[float | None]:
    return [run.scores[0].value for run in read_all(results).records]
