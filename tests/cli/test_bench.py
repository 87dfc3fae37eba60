"""Whole runs on tiny models: every method holds its promises, and every ending leaves the right record."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from dsee_bench import config, plan, record
from dsee_bench.cli.bench import INTERRUPTED, run
from dsee_bench.config import ConfigError
from dsee_bench.models.access import weight_of
from dsee_bench.models.cost import forward_flops
from dsee_bench.runs import answers, pipeline, sweep
from dsee_bench.stages.tune import head_parameters
from dsee_bench.system import distributed, signals

QUICK = [
    "task.rows.dev=32",
    "train.max_rows=64",
    "train.epochs=1",
    "train.retune_epochs=1",
    "train.lr_adapter=1e-2",
]
METHODS = config.options("method")
ON_TINY = {"dsee_authors": ["method.stages.sparse.placement=decomposition"]}  # the authors' constants need 496 rows
TINY = [name for name in config.options("backbone") if name.startswith("tiny-")]


def resolved(*overrides):
    quick = QUICK if not any(item.startswith("task=") and "toy" not in item for item in overrides) else QUICK[1:]
    return sweep.resolved([*quick, *overrides])


def run_tiny(folder, *overrides):
    content = resolved("backbone=tiny-bert", f"results_dir={folder}", *overrides)
    return run(content, list(overrides)), record.path_of(config.run_id(content), folder)


QUICK_ONES = ("tiny-bert", "tiny-gpt2")  # Linear and Conv1D; the others are left to `make test-slow`
# They choose entries and masks in another way than a method that runs on both; one layout of weights is enough.
ON_ONE = {
    *("dsee_random", "dsee_magnitude", "dsee_authors", "dsee_gradual", "dsee_structured_40", "dsee_update"),
    *("gmp", "imp", "full_twice", "lora_omp", "lora_twice", "lora_all", "lora_all_twice"),
}
# What they tune or remove lies elsewhere in every family; the other methods choose entries of the same weights.
IN_EVERY_FAMILY = {"full", "lora", "dsee", "dsee_structured", "earlybert", "peft/ia3", "peft/bias", "peft/norm"}
NEW_POOLER = ["full", "dsee", "omp", "dsee_structured"]  # a pooler that is tuned with the head, on tiny-bert
RUNS = [
    pytest.param(method, name, marks=[pytest.mark.slow] * (name not in QUICK_ONES[: 1 if method in ON_ONE else 2]))
    for method in METHODS
    for name in TINY
    if method != "majority" and (name in QUICK_ONES or method in IN_EVERY_FAMILY)  # majority loads no model
] + [(method, "tiny-bert backbone.new_pooler=true") for method in NEW_POOLER]


@pytest.mark.parametrize(("method", "backbone"), RUNS)
def test_every_method_on_every_tiny_backbone(method, backbone, tmp_path):
    """What is frozen does not move, masks hold bit for bit, and the model costs what the plan said."""
    settings = plan.read(resolved(f"method={method}", *f"backbone={backbone}".split(), *ON_TINY.get(method, ())))
    if method == "peft/bias" and not settings.backbone.spec(2).biases:
        with pytest.raises(ConfigError, match="needs biases, and this backbone has none"):
            plan.plan(settings)
        return
    if settings.backbone.shared_layers and method in ("dsee_structured", "earlybert"):
        with pytest.raises(ConfigError, match=r"method\.stages\.\w+: the 3 layers of this backbone share"):
            plan.plan(settings)
        return
    planned = plan.plan(settings).final
    state, inputs = pipeline.prepare(settings, tmp_path)
    before = {name: value.clone() for name, value in state.model.named_parameters()}
    logs = pipeline.run_stages(settings, state, tmp_path / "states", inputs)
    assert [log.name for log in logs] == list(settings.stages)

    after = {name.replace("base_layer.", ""): value for name, value in state.model.named_parameters()}
    head = head_parameters(state)
    assert sum(before[name].numel() for name in head) == planned.head > 0
    # A narrowed weight has another shape; that its rows are the right ones is stages/test_narrow.py's to show.
    alike = [name for name in before if name in after and before[name].shape == after[name].shape]
    moved = {name for name in alike if not torch.equal(before[name], after[name])}
    assert head <= moved or method == "untuned", "the task head trains in every other method"
    masked = {f"{site.path}.weight" for site in state.masks}
    allowed = {
        "nothing": set(),
        "adapter": head | masked,
        "all": set(before),
        "bias": head | {name for name in before if name.endswith("bias")},
        "norm": head | {name for name in before if "LayerNorm" in name or ".ln_" in name or "norm" in name},
    }[planned.tuned]
    assert moved <= allowed, sorted(moved - allowed)[:3]

    for site, mask in state.masks.items():
        seen = weight_of(state.model, site)
        assert not seen[~mask].any(), f"a masked entry of {site.path} came back"
        if planned.tuned == "adapter":
            stored = before[f"{site.path}.weight"]
            original = stored.T if site.transposed else stored
            assert torch.equal(seen[mask], original[mask]), f"a kept entry of {site.path} moved"

    costs = {
        cost.name: cost.value
        for cost in pipeline.costs(state.model, state.adapters, state.spec, planned, state.masks, 128)
    }
    trained = sum(value.numel() for value in state.model.parameters() if value.requires_grad)
    found = state.spec
    if method == "untuned":
        assert costs["trainable_parameters"] == costs["optimizer_entries"] == 0
        return
    assert costs["trainable_parameters"] == found.trainable
    assert trained == found.trainable + (found.total - found.nnz if found.tuned == "all" else 0)
    # Exact, but for the sparse entries that stand in removed rows: how many go is known from the run alone.
    unsure = sum(weight.num_entries for weight in planned.weights) if any(log.name == "narrow" for log in logs) else 0
    marked = plan.plan(settings).steps[-1].estimates if settings.stages else ()
    for name in ("adapter", "trainable", "nnz", "total"):
        assert getattr(found, name) == getattr(planned, name) or name in marked, f"{name} is no exact number"
    assert forward_flops(found, 128) == forward_flops(planned, 128) or "flops" in marked
    assert abs(planned.trainable - found.trainable) <= unsure
    assert abs(planned.total - found.total) <= unsure
    assert abs(planned.nnz - found.nnz) <= unsure, "the pools' counts are exact, wherever the zeros fall"


def test_a_run_leaves_one_record_and_is_done_then(tmp_path, capsys):
    code, path = run_tiny(tmp_path, "method=dsee")
    assert code == 0
    found = record.read(path)
    assert found.status == "finished"
    assert found.checkpoint == "best dev"
    assert [score.name for score in found.scores] == ["accuracy"]
    assert [log.name for log in found.stages] == ["low_rank", "sparse", "tune", "prune", "retune"]
    assert found.cost("sparsity_masked") == pytest.approx(0.2, abs=1e-4)
    assert found.made_by["command"] == "dsee-bench method=dsee"
    assert set(found.data) == {"train", "dev"}
    assert "tmp" not in json.dumps(found.config), "no path is part of a record's settings"
    kept = answers.of_split(answers.path_of(found.run_id, tmp_path), "dev")
    right = [a == r for a, r in zip(kept["answers"], kept["references"], strict=True)]
    assert sum(right) / len(right) == found.score("accuracy")
    capsys.readouterr()

    before = path.stat().st_mtime_ns
    code, _ = run_tiny(tmp_path, "method=dsee")
    said = capsys.readouterr().out
    assert code == 0
    assert "done already" in said
    assert str(path) in said
    assert path.stat().st_mtime_ns == before


def test_a_metric_undefined_on_dev_is_recorded_as_last_and_why(tmp_path, monkeypatch):
    from dsee_bench.training import evaluate

    scored = evaluate.score

    def undefined(*arguments):
        return tuple(replace(one, value=None, reason="no answer differs") for one in scored(*arguments))

    monkeypatch.setattr(evaluate, "score", undefined)
    code, path = run_tiny(tmp_path, "method=full")
    assert code == 0
    found = record.read(path)
    assert (found.checkpoint, found.stages[-1].facts["best_step"]) == ("last", None)
    assert "dev accuracy is undefined at every evaluation" in found.stages[-1].facts["why_last"]


def test_the_same_seed_gives_the_same_score_to_the_last_digit(tmp_path):
    scores = []
    for repeat in ("a", "b"):
        _, path = run_tiny(tmp_path / repeat, "method=dsee", "train.epochs=3", "seed=0")
        found = record.read(path)
        scores.append((found.scores, [log.facts for log in found.stages if "curve" in log.facts]))
    first, second = scores
    assert first[0] == second[0]
    for one, other in zip(first[1], second[1], strict=True):
        assert one["curve"] == other["curve"]
        assert one["dev"] == other["dev"]


def test_force_runs_again_and_seeds_do_not_share_a_record(tmp_path):
    _, path = run_tiny(tmp_path, "method=full")
    before = path.stat().st_mtime_ns
    _, again = run_tiny(tmp_path, "method=full", "force=true")
    assert again == path
    assert path.stat().st_mtime_ns > before
    _, other = run_tiny(tmp_path, "method=full", "seed=1")
    assert other != path
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2


def test_a_common_first_stage_is_tuned_once_and_changes_nothing(tmp_path):
    _, path = run_tiny(tmp_path, "method=dsee_update")
    _, path = run_tiny(tmp_path, "method=dsee", "method.stages.prune.sparsity=0.5")
    shared = record.read(path)
    assert [log.name for log in shared.stages if log.facts.get("reused")] == ["low_rank", "sparse", "tune"]
    _, path = run_tiny(tmp_path / "alone", "method=dsee", "method.stages.prune.sparsity=0.5")
    alone = record.read(path)
    assert not any(log.facts.get("reused") for log in alone.stages)
    assert alone.scores == shared.scores
    assert [cost.value for cost in alone.costs] == [cost.value for cost in shared.costs]
    assert alone.stages[-1].facts["curve"] == shared.stages[-1].facts["curve"]


def test_a_forced_run_that_was_interrupted_goes_on(tmp_path, monkeypatch, capsys):
    """Interrupted in its second tuning, at the fourth look for a signal; then given again, with and without force."""
    overrides = ("method=dsee", "save_every=0")
    _, path = run_tiny(tmp_path, *overrides)
    before = record.read(path)
    for again in (["force=true"], []):
        left = [4]

        def check(left=left):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(signals, "raise_if_stopped", check)
            assert run_tiny(tmp_path, *overrides, "force=true")[0] == INTERRUPTED
        assert "reused" not in capsys.readouterr().err
        assert record.read(path).status == "interrupted", "the good record is set aside"
        assert run_tiny(tmp_path, *overrides, *again)[0] == 0
        assert "low_rank, sparse, tune: reused" in capsys.readouterr().err, "the tuning that the forced run had done"
        after = record.read(path)
        assert after.scores == before.scores
        assert after.made_by["started"] >= before.made_by["started"]
        assert not (tmp_path / "work" / path.stem / path.name).exists(), "nothing is left of the record set aside"


def rows_of(folder, texts):
    folder.mkdir()
    lines = "".join(f"{text} {index},{label}\n" for index in range(16) for text, label in texts)
    for name in ("train.csv", "dev.csv"):
        (folder / name).write_text(f"text,label\n{lines}")
    return [*CUSTOM, f"data_dir={folder}"]


CUSTOM = ("method=untuned", "task=custom", "task.train=train.csv", "task.dev=dev.csv", "task.labels=[bad,good]")


def test_other_rows_are_not_taken_for_those_of_a_run_that_is_done(tmp_path, capsys):
    first = rows_of(tmp_path / "a", [("fine", "good"), ("poor", "bad")])
    other = rows_of(tmp_path / "b", [("fine", "bad"), ("poor", "good")])
    copied = rows_of(tmp_path / "c", [("fine", "good"), ("poor", "bad")])
    assert run_tiny(tmp_path / "results", *first)[0] == 0
    with pytest.raises(ConfigError, match=r"done on other rows of train.*task.name=.*force=true"):
        run_tiny(tmp_path / "results", *other)
    capsys.readouterr()
    assert run_tiny(tmp_path / "results", *copied)[0] == 0
    assert "done already" in capsys.readouterr().out
    assert run_tiny(tmp_path / "results", *other, "force=true")[0] == 0
    assert run_tiny(tmp_path / "results", *other)[0] == 0
    with pytest.raises(ConfigError, match="done on other rows"):
        run_tiny(tmp_path / "results", *first)
    absent = [*CUSTOM, f"data_dir={tmp_path}/none"]
    capsys.readouterr()
    assert run_tiny(tmp_path / "results", *absent)[0] == 0, "what is gone is no reason to doubt the record"
    assert "its data are missing, so they were not compared" in capsys.readouterr().out
    broken = rows_of(tmp_path / "d", [("fine", "good"), ("poor", "awful")])
    with pytest.raises(ConfigError, match=r"its data cannot be compared with it: .*awful.*; repair"):
        run_tiny(tmp_path / "results", *broken)
    with pytest.raises(ConfigError, match="done on other rows"):
        run_tiny(tmp_path / "results", *first)


def test_rows_that_changed_in_their_folder_are_noticed(tmp_path, capsys):
    results = tmp_path / "results"
    asked = rows_of(tmp_path / "a", [("fine", "good"), ("poor", "bad")])
    _, path = run_tiny(results, *asked)
    assert run_tiny(results, *asked)[0] == 0
    train = tmp_path / "a" / "train.csv"
    before = train.read_text()
    train.write_text(before.replace("fine", "nice"))
    with pytest.raises(ConfigError, match=r"done on other rows of train .*task\.name=NAME.*force=true"):
        run_tiny(results, *asked)
    train.write_text(before)
    assert run_tiny(results, *asked)[0] == 0, "the same content again, at another time"
    (results / "work" / path.stem / "rows.json").unlink()
    assert run_tiny(results, *asked)[0] == 0, "a record that came from elsewhere, and the rows are its rows"
    (results / "work" / path.stem / "rows.json").write_text("{cut")
    train.write_text(before.replace("poor", "weak"))
    with pytest.raises(ConfigError, match="done on other rows of train"):
        run_tiny(results, *asked)


def test_rows_by_another_working_directory(tmp_path, monkeypatch):
    """Without data_dir the files are below the working directory."""
    rows_of(tmp_path / "a", [("fine", "good"), ("poor", "bad")])
    rows_of(tmp_path / "b", [("dull", "bad"), ("nice", "good")])
    monkeypatch.chdir(tmp_path / "a")
    assert run_tiny(tmp_path / "results", *CUSTOM)[0] == 0
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(ConfigError, match="done on other rows of train, dev than the data has"):
        run_tiny(tmp_path / "results", *CUSTOM)


def test_a_model_of_other_rows_is_not_exported_as_that_of_the_record(tmp_path, capsys):
    asked = rows_of(tmp_path / "a", [("fine", "good"), ("poor", "bad")])
    _, path = run_tiny(tmp_path / "results", *asked)
    before = path.read_text()
    dev = tmp_path / "a" / "dev.csv"
    dev.write_text(dev.read_text().replace("fine", "nice"))
    with pytest.raises(ConfigError, match="done on other rows of dev"):
        run_tiny(tmp_path / "results", *asked, f"export={tmp_path}/small")
    assert not (tmp_path / "small").exists()
    assert path.read_text() == before


def test_a_corrupt_record_is_named_with_the_way_out(tmp_path):
    path = record.path_of(config.run_id(resolved("backbone=tiny-bert", "method=full")), tmp_path)
    path.parent.mkdir()
    path.write_text('{"run_id": "cut o')
    with pytest.raises(ConfigError, match=rf"{re.escape(str(path))} is not a record.*delete it"):
        run_tiny(tmp_path, "method=full")
    code, _ = run_tiny(tmp_path, "method=full", "force=true")
    assert (code, record.read(path).status) == (0, "finished")


def test_a_failure_is_told_also_where_a_corrupt_record_lies(tmp_path, monkeypatch, capsys):
    overrides = ("method=full", "force=true")
    path = record.path_of(config.run_id(resolved("backbone=tiny-bert", *overrides)), tmp_path)
    path.parent.mkdir()
    path.write_text('{"run_id": "cut o')
    monkeypatch.setattr(pipeline, "run_stages", lambda *_: 1 / 0)
    assert run_tiny(tmp_path, *overrides) == (1, path)
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert record.read(path).status == "failed"


def test_a_failed_run_is_recorded_as_failed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipeline, "run_stages", lambda *_: 1 / 0)
    code, path = run_tiny(tmp_path, "method=full")
    found = record.read(path)
    assert code == 1
    assert found.status == "failed"
    assert "Traceback" in found.error
    assert str(path) in capsys.readouterr().err


def test_a_run_whose_other_process_ended_is_recorded_as_stopped(tmp_path, monkeypatch, capsys):
    def lost(*_):
        raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:64147.")

    monkeypatch.setattr(pipeline, "run_stages", lost)
    monkeypatch.setattr(distributed, "other_ended", lambda error: "closed by peer" in str(error))
    code, path = run_tiny(tmp_path, "method=full")
    found = record.read(path)
    assert (code, found.status) == (INTERRUPTED, "interrupted")
    assert found.error == "interrupted: another process of the run ended"
    assert "pair.cc" not in capsys.readouterr().err


def test_a_failed_repeat_does_not_replace_a_good_record(tmp_path, monkeypatch):
    _, path = run_tiny(tmp_path, "method=full")
    before = path.read_text()
    monkeypatch.setattr(pipeline, "run_stages", lambda *_: 1 / 0)
    code, _ = run_tiny(tmp_path, "method=full", "force=true")
    assert code == 1
    assert path.read_text() == before
    assert not list((tmp_path / "work" / "states").glob("*/")), "its cached states are dropped"


@pytest.mark.parametrize(
    ("wrong", "code", "says"),
    [(KeyboardInterrupt(), INTERRUPTED, "interrupted"), (OSError("disk is full"), 1, "disk is full")],
)
def test_a_done_run_that_cannot_be_measured_stays_as_it_is(wrong, code, says, tmp_path, monkeypatch, capsys):
    _, path = run_tiny(tmp_path, "method=full")
    before = path.read_text()

    def measured(*_):
        raise wrong

    monkeypatch.setattr(pipeline, "measured_as_asked", measured)
    capsys.readouterr()
    assert run_tiny(tmp_path, "method=full", "measure=true") == (code, path)
    said = capsys.readouterr().err
    assert says in said
    assert "reused from an earlier run" in said, "it tells what it does"
    assert path.read_text() == before


@pytest.mark.slow
def test_a_stopped_process_records_its_run_as_stopped(tmp_path):
    """As test_signals.py has it within a process."""
    arguments = [*QUICK, "backbone=tiny-bert", "train.max_rows=1024", "train.epochs=500", f"results_dir={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "dsee_bench.cli.bench", *arguments], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    for line in process.stderr:
        if "step 32/" in line:  # in the middle of the first tuning
            process.send_signal(signal.SIGTERM)
            break
    _, said = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED
    (path,) = (tmp_path / "runs").glob("*.json")
    assert record.read(path).status == "interrupted"
    assert "goes on" in said


@pytest.mark.slow
def test_a_failing_cell_does_not_stop_a_sweep_and_the_exit_code_tells(tmp_path):
    """The first of the two cells asks for a rank that no weight has."""
    arguments = [*QUICK, "backbone=tiny-bert", "method=lora", f"results_dir={tmp_path}", "--multirun"]
    command = [sys.executable, "-m", "dsee_bench.cli.bench", *arguments, "method.stages.lora.settings.r=0,2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert "settings.r must be at least 1, got 0" in done.stderr
    (path,) = (tmp_path / "runs").glob("*.json")
    assert record.read(path).config["method"]["stages"]["lora"]["settings"]["r"] == 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["runs", "work"]


def _in_process(folder):
    torch.set_num_threads(1)
    sys.exit(run_tiny(folder, "method=full")[0])


@pytest.mark.slow
def test_two_runs_started_at_once_leave_one_whole_record(tmp_path):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_in_process, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    (path,) = (tmp_path / "runs").glob("*.json")
    assert record.read(path).status == "finished"


def test_no_weights_and_no_network_is_told_within_seconds(tmp_path, capsys):
    started = time.perf_counter()
    code, path = run_tiny(tmp_path, "backbone=bert-base", "task=toy_pairs")
    assert code == 1
    assert time.perf_counter() - started < 20, "meant to be 5 s on an idle machine"
    said = capsys.readouterr().err
    for part in ("backbone.path=DIR", "dsee-bench fetch", "backbone=minilm"):
        assert part in said
    assert not path.exists()


@pytest.mark.parametrize(
    ("words", "heavy", "said"),
    [
        (["--help"], {"pydantic", "torch"}, ""),
        (["method=dseee"], {"pydantic", "torch"}, "did you mean 'dsee'"),
        (["train.epochs=-1"], {"torch", "transformers", "datasets", "numpy"}, "train.epochs must be above 0"),
        (["task=rte", "data_dir=/nowhere"], {"torch", "transformers"}, "there is no folder /nowhere"),
        (["backbone=bert-base"], {"torch", "transformers"}, "is not in the cache"),
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_imported(tmp_path, words, heavy, said):
    """Imports are what such a command takes its time for: torch and transformers seconds, pydantic a tenth of one."""
    script = (
        "import sys; from dsee_bench.cli.bench import main\n"
        "try: main()\nexcept SystemExit as error: print(error, file=sys.stderr)\n"
        "print('modules:', *sys.modules)"
    )
    more = [] if words == ["--help"] else [f"results_dir={tmp_path}"]
    command = [sys.executable, "-c", script, *words, *more]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "HF_HOME": "/nowhere"}
    )
    assert said in done.stderr
    imported = done.stdout.rpartition("modules:")[2].split()
    assert "omegaconf" in imported
    assert not heavy & set(imported)


def test_what_is_written_lies_in_the_results_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_tiny(tmp_path / "results", "method=full")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
