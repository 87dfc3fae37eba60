"""Whatever lies in the folder of records, every command names what it cannot use and makes the rest."""

import copy
import json
import os

import pytest

from dsee_bench import record
from dsee_bench.cli.report import main
from dsee_bench.report.records import read_usable

ODD = [None, True, -1, 0, 7, 1e300, 2.5, "", "x", "a\n\x1b[1m", [], [1], [None, "a"], {}, {"a": 1}, {"name": [1]}]
COMMANDS = [["tables", "all"], ["plots", "all"], ["page"], ["status"], ["show", "a-good"], ["masks", "a-good"]]
COMMANDS += [["compare", "a-good", "b-good"]]
DEEP = "[" * 10_000 + "]" * 10_000
RAW = {
    # file:        its bytes
    "empty": b"",
    "half": b'{"schema": 2, "run_id": "ha',
    "not-utf8": b'{"schema": 2, "run_id": "\xff"}',
    "nested": DEEP.encode(),
    "nested-inside": f'{{"schema": 2, "run_id": "a", "status": "failed", "config": {DEEP}, "made_by": {{}}}}'.encode(),
    "digits": b'{"schema": 2, "run_id": ' + b"9" * 5000 + b"}",
    "fewer-digits": b'{"schema": 2, "run_id": ' + b"9" * 4000 + b"}",
    "schema": b'{"schema": ' + b"9" * 4000 + b"}",
    "nan": b'{"schema": 2, "run_id": NaN}',
    "huge-exponent": b'{"schema": 2, "run_id": 1e999}',
    "surrogate": b'{"schema": 2, "run_id": "\\ud800"}',
    "no-object": b"[1, 2]",
    "zeros": b"\0" * 1000,
}


@pytest.fixture
def good(make, backbone_settings, tmp_path):
    """A record with every part that a report looks into, and its sibling, both in the folder."""
    facts = {
        "steps": 20,
        "curve": [{"step": 10, "loss": 0.7}],
        "dev": [{"step": 20, "accuracy": None}],
        "sparsity_by_site": {"bert.encoder.layer.0.attention.self.query": 0.2},
        "heads": [[0, 1]],
        "neurons": [8],
    }
    for seed, name in enumerate(("a-good", "b-good")):
        content = json.loads(record.write(make("rte", "lora", seed, facts=facts), tmp_path).read_text())
        content["config"]["backbone"] = backbone_settings("tiny-bert", name="minilm")
        put(tmp_path, name, content | {"run_id": name})
    for path in (tmp_path / "runs").glob("rte-*"):
        path.unlink()
    return content


def put(results, name, content):
    text = json.dumps(content)  # with NaN for what is none, as Python writes it
    (results / "runs" / f"{name}.json").write_text(text)


def mutants(content):
    """(place, value, the record with this odd value there), for every place in a record."""
    for path in list(places(content)):
        for value in ODD:
            changed = copy.deepcopy(content)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            yield path, value, changed
        removed = copy.deepcopy(content)
        inner = removed
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        yield path, "removed", removed


def places(content, before=()):
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from places(value, (*before, key))


def test_what_cannot_be_used_is_named_and_left_out(good, tmp_path, capsys):
    """Every refused mutant, and every file that is none, in one folder with two good records."""
    runs = tmp_path / "runs"
    for name, content in RAW.items():
        (runs / f"{name}.json").write_bytes(content)
    (runs / "folder.json").mkdir()
    (runs / "dangling.json").symlink_to("nowhere")
    os.mkfifo(runs / "pipe.json")
    with (runs / "huge.json").open("wb") as file:
        file.truncate(2**33)  # takes no room on disk
    refused = [*RAW, "folder", "dangling", "pipe", "huge"]
    for number, (_, _, changed) in enumerate(mutants(good)):
        put(tmp_path, f"m{number}", changed)
        try:
            read_usable(runs / f"m{number}.json")
            (runs / f"m{number}.json").unlink()  # see the next test
        except ValueError:
            refused.append(f"m{number}")
    assert len(refused) > 400
    for command in COMMANDS:
        assert main([*command, "--results", str(tmp_path)]) == 0, command
        told = capsys.readouterr()
        if command[0] in ("tables", "plots", "page", "compare"):
            lines = [line for line in told.err.splitlines() if "left out: /" in line]
            assert len(lines) == len(refused), command
            assert all(any(f"/{name}.json " in line for line in lines) for name in refused), command
        if command[0] == "tables":
            assert "| minilm" in told.out
            assert "(2)" in told.out, "the mean over the two good ones"
        if command[0] == "status":
            assert f"2 finished, {len(refused)} unreadable" in told.out
        if command == COMMANDS[0]:  # all commands read records in one way: the others see a tenth of the mutants
            for name in [name for name in refused if name.startswith("m") and not name.endswith("0")]:
                (runs / f"{name}.json").unlink()
                refused.remove(name)


@pytest.mark.parametrize("name", ["folder", *RAW])
def test_a_command_that_is_given_such_a_record_says_why(name, good, tmp_path, capsys):
    if name == "folder":
        (tmp_path / "runs" / "folder.json").mkdir()
    else:
        (tmp_path / "runs" / f"{name}.json").write_bytes(RAW[name])
    for command in (["show", name], ["masks", name], ["compare", name, "a-good"]):
        assert main([*command, "--results", str(tmp_path)]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1, command


@pytest.mark.slow
def test_odd_values_that_are_allowed_harm_no_command(good, tmp_path, capsys):
    """What may be anything (a setting of a stage, a signature) is shown; a table may refuse to mix it with others."""
    tried = 0
    path = tmp_path / "runs" / "odd.json"
    for number, (place, value, changed) in enumerate(mutants({**good, "run_id": "odd"})):
        if number % 10:  # a command takes a tenth of a second, and there are many
            continue
        put(tmp_path, "odd", changed)
        try:
            read_usable(path)
        except ValueError:
            continue
        tried += 1
        for command in (*COMMANDS, ["show", "odd"], ["masks", "odd"], ["compare", "odd", "a-good"]):
            if command[0] == "plots" and place[0] != "stages":
                continue  # a second each
            assert main([*command, "--results", str(tmp_path)]) in (0, 1), (place, value, command)
            capsys.readouterr()
    assert tried > 20
