"""Whatever happens to a file of an unfinished or a finished run, the same command ends with the same scores."""

import importlib.util
import logging
import os
import pickle
import shutil
import signal
from pathlib import Path

import pytest

from dsee_bench import record
from dsee_bench.cli.bench import run
from dsee_bench.runs import sweep
from dsee_bench.system import signals
from dsee_bench.system.files import DAMAGED
from dsee_bench.system.folders import SEAL, seal
from dsee_bench.training import checkpoint, decode

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "faults.py"
spec = importlib.util.spec_from_file_location("faults", SCRIPT)
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)

TUNED = (  # 3 steps a tuning; a checkpoint after each, best and last
    "method=dsee",
    "backbone=tiny-bert",
    "task.rows.dev=16",
    "train.max_rows=24",
    "train.batch_size=8",
    "train.epochs=1",
    "train.retune_epochs=1",
    "train.eval_strategy=steps",
    "train.eval_steps=1",
    "train.lr_adapter=1e-2",
    "save_every=0",
    "threads=1",
)
WRITTEN = (
    "method=lora",
    "backbone=tiny-gpt2",
    "task=toy_d2t",
    "task.contexts.dev=6",
    "task.contexts.test=6",
    "task.decode.batch_size=2",
    "task.decode.new_tokens=8",
    "task.decode.splits=[dev]",
    "train.max_rows=16",
    "train.batch_size=8",
    "train.epochs=1",
    "threads=1",
)
HARMS = [name for name in faults.HARMS if name != "unreadable"]  # root reads all; the script gives up its right to


FAST = ("flipped bit", "folder")


def start(words, results_dir):
    """The exit code of a run in this process."""
    overrides = [*words, f"results_dir={results_dir}"]
    return run(sweep.resolved(overrides), overrides)


def scores(results_dir):
    """The scores, and the loss of every step, which tells more."""
    (found,) = record.read_all(results_dir)
    assert found.status == "finished", found.error
    losses = [(log.name, [log.facts.get(name) for name in ("curve", "dev", "best_step")]) for log in found.stages]
    return [(score.name, score.value) for score in found.scores], losses


def stop_tuning(monkeypatch):
    """Stop in the second tuning: a state is cached, and a tuning has checkpoints."""
    steps = iter(range(100))
    monkeypatch.setattr(
        signals, "raise_if_stopped", lambda: signal.raise_signal(signal.SIGINT) if next(steps) == 10 else None
    )


def stop_writing(monkeypatch):
    batches, write = iter(range(100)), decode.write
    monkeypatch.setattr(
        decode, "write", lambda *a, **k: signal.raise_signal(signal.SIGINT) if next(batches) == 2 else write(*a, **k)
    )


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What runs left that were stopped in a tuning, or in decoding, or finished: (words, folder, scores)."""
    found = {}
    for name, words, stop in (("tuned", TUNED, stop_tuning), ("written", WRITTEN, stop_writing)):
        straight, stopped = tmp_path_factory.mktemp(name), tmp_path_factory.mktemp(f"stopped_{name}")
        assert start(words, straight) == 0
        with pytest.MonkeyPatch.context() as monkeypatch:
            stop(monkeypatch)
            assert start(words, stopped) == 130
        found[f"finished, {name}"] = (words, straight, scores(straight))
        found[f"stopped, {name}"] = (words, stopped, scores(straight))
    assert list(found["stopped, tuned"][1].glob(f"work/states/*.tuning/checkpoint-*/{SEAL}"))
    assert list(found["stopped, written"][1].glob("work/*/decode.dev.jsonl"))
    return found


def check(words, expected, folder, caplog):
    """Run again: the same scores; returns what is said of damaged files, on the terminal and in the log."""
    caplog.clear()
    assert start(words, folder) == 0
    assert scores(folder) == expected
    (log,) = (folder / "work").glob("*/log.txt")
    told = log.read_text(errors="replace").rpartition("=== ")[2].splitlines() if log.is_file() else []
    told += [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    return [line for line in told if "it is removed" in line or "it is set aside" in line]


@pytest.mark.parametrize("harm", [pytest.param(harm, marks=[] if harm in FAST else pytest.mark.slow) for harm in HARMS])
@pytest.mark.parametrize("state", ["stopped, tuned", "stopped, written"])
def test_a_run_goes_on_when_all_its_files_are_damaged(state, harm, left, tmp_path, caplog):
    words, folder, expected = left[state]
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    cases = [file for file, name in faults.harms_of(again / "work") if name == harm]
    assert len(cases) > 6
    for file in cases:
        faults.HARMS[harm](again / "work" / file)
    check(words, expected, again, caplog)


# One file of each kind; all files, in each way, are walked by the slow test below.
KINDS = [
    # file, way, what the one line says
    ("states/*/model.safetensors", "flipped bit", "has a changed model.safetensors; it is removed"),
    pytest.param(f"states/*/{SEAL}", "not text", f"has a damaged {SEAL}", marks=pytest.mark.slow),
    pytest.param("states/*/stages.json", "foreign JSON", "has a changed stages.json", marks=pytest.mark.slow),
    ("states/*.tuning/checkpoint-*/optimizer.pt", "flipped bit", "has a changed optimizer.pt"),
    pytest.param(
        "states/*.tuning/checkpoint-*/trainer_state.json",
        "empty",
        "has a changed trainer_state.json",
        marks=pytest.mark.slow,
    ),
    ("*/curve.jsonl", "flipped bit", "has 1 damaged of"),
    ("*/log.txt", "folder", "is no file"),
]


def test_the_record_of_a_finished_run_stays_whatever_is_damaged(left, tmp_path, capsys):
    words, folder, _ = left["finished, tuned"]
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    for file in [file for file in (again / "work").rglob("*") if file.is_file()]:
        faults.replace_by_folder(file)
    before = {path.name: path.read_bytes() for path in (again / "runs").iterdir()}
    assert start(words, again) == 0
    assert "is done already" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (again / "runs").iterdir()} == before


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("state", ["stopped, tuned", "stopped, written", "finished, tuned", "finished, written"])
def test_every_file_damaged_in_two_of_the_ways(state, left, tmp_path, caplog):
    """The ways in turn from file to file; benchmarks/faults.py tries all of them on all."""
    words, folder, expected = left[state]
    every = [case for case in faults.harms_of(folder / "work") if case[1] in HARMS]
    files = sorted({file for file, _ in every})
    cases = [(file, harm) for file, harm in every if (HARMS.index(harm) - files.index(file)) % len(HARMS) in (0, 3)]
    assert {file for file, _ in cases} == set(files)
    assert {harm for _, harm in cases} == set(HARMS)
    for file, harm in cases:
        again = tmp_path / "again"
        shutil.copytree(folder, again)
        faults.HARMS[harm](again / "work" / file)
        warnings = check(words, expected, again, caplog)
        assert len(warnings) <= 1, (file, harm, warnings)
        shutil.rmtree(again)


@pytest.mark.parametrize(("pattern", "harm", "said"), KINDS)
def test_a_damaged_file_is_named_in_one_line(pattern, harm, said, left, tmp_path, caplog):
    words, folder, expected = left["stopped, tuned"]
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    faults.HARMS[harm](sorted((again / "work").glob(pattern))[-1])
    (told,) = check(words, expected, again, caplog)
    assert said in told


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def test_the_plant_works(tmp_path):
    pickle.loads(pickle.dumps(Planted(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_no_pickle_in_a_work_folder_is_ever_run(form, left, tmp_path):
    """Not even by a stranger who can seal what is planted, and puts it under the names that torch's files have."""
    import torch

    words, folder, _ = left["stopped, tuned"]
    mark, again = tmp_path / "ran", tmp_path / "again"
    shutil.copytree(folder, again)
    sealed = [path.parent for path in (again / "work").rglob(SEAL)]
    assert len(sealed) >= 2
    names = ("pytorch_model.bin", "training_args.bin", "optimizer.bin", "scaler.pt", "adapter_model.bin")
    for place in sealed:
        files = [path for path in place.iterdir() if path.name != SEAL and path.suffix != ".json"]
        files += [place / name for name in names]
        for path in files:
            if form == "torch":
                torch.save(Planted(mark), path)
            else:
                path.write_bytes(pickle.dumps(Planted(mark)))
        seal(place)
    try:
        code = start(words, again)
    except Exception:
        code = None
    assert not mark.exists()
    assert code in (0, 1)


def test_a_pickle_beside_whole_files_is_not_run_and_the_checkpoint_counts_no_more(left, tmp_path, caplog):
    import torch

    words, folder, expected = left["stopped, tuned"]
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        mark, again = tmp_path / f"{name} ran", tmp_path / name
        shutil.copytree(folder, again)
        for place in (again / "work" / "states").glob("*.tuning/checkpoint-*"):
            torch.save(Planted(mark), place / name)
            seal(place)
        warnings = check(words, expected, again, caplog)
        assert not mark.exists()
        assert any(f"has an unreadable {name}" in text for text in warnings)


def test_odd_names_of_checkpoints_stop_nothing(left, tmp_path, caplog):
    words, folder, expected = left["stopped, tuned"]
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    (tuning,) = (again / "work" / "states").glob("*.tuning")
    newest = checkpoint.newest(tuning)
    newest.rename(tuning / "checkpoint-99")
    (tuning / "checkpoint-x").mkdir()
    (tuning / "checkpoint-7").touch()
    said = "\n".join(check(words, expected, again, caplog))
    assert "checkpoint-99 was made as" in said
    assert not tuning.exists()


def test_what_is_set_aside_takes_no_part(left, tmp_path, caplog):
    words, folder, expected = left["stopped, tuned"]
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    (curve,) = (again / "work").glob("*/curve.jsonl")
    faults.replace_by_folder(curve)
    check(words, expected, again, caplog)
    assert curve.is_file()
    assert curve.with_name(f"curve.jsonl{DAMAGED}").is_dir()


def test_what_a_killed_process_left_half_written_goes_with_the_next_start(left, tmp_path, caplog):
    words, folder, expected = left["stopped, tuned"]
    again = tmp_path / "again"
    shutil.copytree(folder, again)
    (record_file,) = (again / "runs").iterdir()
    (tuning,) = (again / "work" / "states").glob("*.tuning")
    half = [
        record_file.with_name(f".{record_file.name}.0a1b.tmp"),
        again / "work" / record_file.stem / ".outputs.dev.txt.0a1b.tmp",
        tuning.with_name(f".{tuning.name.removesuffix('.tuning')}.0a1b2c3d.half"),
    ]
    for path in half[:2]:
        path.write_text("half")
    half[2].mkdir()
    others = again / "runs" / ".another-run.json.0a1b.tmp"
    others.touch()
    check(words, expected, again, caplog)
    assert [path for path in half if path.exists()] == []
    assert others.exists(), "that run may be alive"
