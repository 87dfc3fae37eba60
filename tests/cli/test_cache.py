"""`dsee-bench cache` over made-up states: files of known size and age."""

import json
import os
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from dsee_bench.cli import cache

DAY = 86400


def state(results, key, megabytes=1, days=0.0, about=True):
    folder = results / "work" / "states" / key
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"\0" * megabytes * 10**6)
    names = {"task": "rte", "backbone": "minilm", "method": "dsee", "seed": 3}
    if about:
        (folder / "about.json").write_text(json.dumps(names))
    (folder / "stages.json").write_text(json.dumps([{"name": "low_rank"}, {"name": "tune"}]))
    then = time.time() - days * DAY
    os.utime(folder / "stages.json", (then, then))
    return folder


@pytest.fixture
def results(tmp_path):
    state(tmp_path, "new", 1)
    state(tmp_path, "week", 2, days=7)
    state(tmp_path, "old", 4, days=30, about=False)
    return tmp_path


def left(results):
    return sorted(path.name for path in (results / "work" / "states").iterdir())


def cache_says(capsys, results, *words):
    assert cache.main([*words, f"results_dir={results}"]) == 0
    return capsys.readouterr()


def test_list_says_what_each_state_is(results, capsys):
    lines = cache_says(capsys, results, "list").out.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:5]}
    assert rows["new"] == ["rte", "minilm", "dsee", "3", "low_rank,", "tune", "1.0", "0", "m", "ago"]
    assert rows["old"] == ["-", "-", "-", "-", "low_rank,", "tune", "4.0", "4", "w", "ago"], "made before it was said"
    assert lines[-1].startswith("3 states, 7.0 MB")


PRUNED = [
    # words,                      left,                     why
    (["--all"], [], "every state"),
    (["--older-than", "7d"], ["new"], "seven days are not less than seven days"),
    (["--older-than", "2w"], ["new", "week"], "days, weeks"),
    (["--down-to", "3.1MB"], ["new", "week"], "the longest unused goes first"),
    (["--down-to", "0.5MB"], [], "nothing fits"),
    (["--all", "--dry-run"], ["new", "old", "week"], "only said"),
]


@pytest.mark.parametrize(("words", "stay", "why"), PRUNED)
def test_prune_removes_what_was_chosen(words, stay, why, results, capsys):
    said = cache_says(capsys, results, "prune", *words).out
    assert left(results) == stay, why
    gone = 3 if "--dry-run" in words else 3 - len(stay)
    assert f"remove {gone}" in said or f"removed {gone}" in said


def test_a_state_that_a_process_works_on_stays(results, capsys):
    with FileLock(results / "work" / "states" / "old.lock"):
        assert "in use" in cache_says(capsys, results, "list").out
        assert "old stays: a running process works on it" in cache_says(capsys, results, "prune", "--all").err
    assert left(results) == ["old", "old.lock"]
    cache_says(capsys, results, "prune", "--all")  # the process is gone
    assert left(results) == []


def test_what_dead_processes_left_half_written_goes(results, capsys):
    states = results / "work" / "states"
    for key in ("dead", "alive"):
        (states / f".{key}.x1y2").mkdir()
        (states / f".{key}.x1y2" / "model.safetensors").write_bytes(b"\0" * 10**6)
    with FileLock(states / "alive.lock"):
        assert "1 half-written by processes that died, 1.0 MB" in cache_says(capsys, results, "size").out
        cache_says(capsys, results, "prune", "--older-than", "52w")
    assert left(results) == [".alive.x1y2", "alive.lock", "new", "old", "week"]


def test_a_tuning_that_was_stopped_is_listed_and_goes_as_a_state_does(results, capsys):
    points = results / "work" / "states" / "half.tuning"
    (points / "checkpoint-8").mkdir(parents=True)
    (points / "checkpoint-8" / "model.safetensors").write_bytes(b"\0" * 3 * 10**6)
    assert "(a tuning that did not end)  3.0" in cache_says(capsys, results, "list").out
    with FileLock(points.with_name("half.lock")):
        cache_says(capsys, results, "prune", "--all")
        assert left(results) == ["half.lock", "half.tuning"], "it goes on at this moment"
    cache_says(capsys, results, "prune", "--all")
    assert left(results) == []


WRONG = [
    (["prune"], "one of the arguments --older-than --down-to --all is required"),
    (["prune", "--older-than", "3"], "'3' must be a number and one of m, h, d, w, as in 7d"),
    (["list", "task=rte"], "there is results_dir=DIR"),
]


@pytest.mark.parametrize(("words", "says"), WRONG)
def test_mistakes_say_the_way_out(words, says, capsys):
    with pytest.raises(SystemExit):
        cache.main(words)
    assert says in capsys.readouterr().err


def test_the_command_loads_nothing_heavy(tmp_path):
    code = (
        f"import sys; sys.argv = ['dsee-bench', 'cache', 'list', 'results_dir={tmp_path}']\n"
        "from dsee_bench.cli.bench import main\n"
        "try: main()\n"
        "except SystemExit as left: assert left.code == 0\n"
        "assert not {'torch', 'numpy', 'pandas', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("0 states")


ODD = [
    # file,         its bytes,                     why
    ("stages.json", b"", "empty"),
    ("stages.json", b"[" * 10_000, "nested deeply"),
    ("stages.json", b'{"name": 1}', "no list"),
    ("stages.json", b'[1, {"name": [2]}, null]', "no stages in it"),
    ("stages.json", b"\xff", "not UTF-8"),
    ("about.json", b"[1]", "no names"),
    ("about.json", b'{"task": {"a": 1}, "seed": null}', "odd names"),
    ("about.json", None, "a folder"),
]


@pytest.mark.parametrize(("file", "content", "why"), ODD)
def test_a_damaged_state_is_listed_and_can_be_removed(file, content, why, results, capsys):
    path = results / "work" / "states" / "new" / file
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    (results / "work" / "states" / "a-file").write_text("no state")
    said = cache_says(capsys, results, "list").out
    assert "\nnew " in said, why
    assert "\n3 states" in said, why
    assert cache.main(["prune", "--all", f"results_dir={results}"]) == 0
    assert not path.exists()


def test_prune_removes_temporary_files_of_dead_runs_only(results, capsys):
    left = []
    for run in ("dead", "alive"):
        work = results / "work" / run
        work.mkdir()
        (results / "runs").mkdir(exist_ok=True)
        left.append([work / ".outputs.dev.txt.0a1b.tmp", results / "runs" / f".{run}.json.0a1b.tmp"])
        for path in left[-1]:
            path.write_text("half")
    with FileLock(results / "work" / "alive" / "run.lock"):
        assert "2 half-written" in cache_says(capsys, results, "prune", "--older-than", "52w").out
    assert [path.exists() for path in left[0]] == [False, False]
    assert [path.exists() for path in left[1]] == [True, True], "a running process writes them"
