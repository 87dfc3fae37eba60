"""Mistakes in settings: each is told by name, with what there is and the nearest, before torch is imported."""

import contextlib
import json
import shutil
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.cli import bench
from dsee_bench.config import ConfigError

OVERRIDES = [
    # override,                            what the message must say
    ("method=dse", ["'dse'", "method", "did you mean 'dsee'?", "lora_omp"]),
    ("task=rtee", ["'rtee'", "did you mean 'rte'?", "cola"]),
    ("method=lora,dsse", ["'dsse'", "did you mean 'dsee'?"]),
    ("sead=1", ["'sead'", "did you mean 'seed'?", "data_dir"]),
    ("method.stages.prune.sparsty=0.5", ["'sparsty'", "did you mean 'sparsity'?", "method.stages.prune"]),
    ("method.stages.prunee.sparsity=0.5", ["'prunee'", "did you mean 'prune'?", "retune"]),
    ("train.epoch=3", ["'epoch'", "did you mean 'epochs'?"]),
    ("seed.x=3", ["seed is a single value"]),
    ("seed=[", ["seed"]),
]


@pytest.mark.parametrize(("override", "parts"), OVERRIDES)
def test_unknown_names_are_told_with_the_nearest(override, parts):
    with pytest.raises(ConfigError) as error:
        config.check_overrides([override])
    for part in parts:
        assert part in str(error.value)


def test_what_there_is_passes():
    config.check_overrides(
        ["method=dsee,lora", "task=rte", "method.stages.tune.epochs=1", "seed=0,1", "hydra.verbose=true"]
    )


VALUES = [
    # overrides,                                        what the message must say
    (["method.stages.prune.sparsity=1.2"], ["method.stages.prune", "sparsity must lie in [0, 1), got 1.2"]),
    (["method.stages.prune.sparsity_qv=-0.1"], ["sparsity_qv", "-0.1"]),
    (["method.stages.low_rank.rank=0"], ["rank must be at least 1, got 0"]),
    (["method.stages.low_rank.rank=two"], ["method.stages.low_rank.rank=two", "integer"]),
    (["method.stages.low_rank.kinds=[qurey]"], ["method.stages.low_rank.kinds", "query"]),
    (["method.stages.sparse.placement=top"], ["method.stages.sparse.placement=top", "magnitude"]),
    (["method.stages.tune.epochs=0"], ["epochs must be above 0, got 0"]),
    (["train.batch_size=0"], ["batch_size must be at least 1, got 0"]),
    (
        ["train.batch_size=10", "train.gradient_accumulation_steps=3"],
        ["batch_size 10", "gradient_accumulation_steps 3"],
    ),
    (["train.max_grad_norm=-1"], ["max_grad_norm must be above 0", "max_grad_norm=null"]),
    (["train.precision=fp8"], ["train.precision=fp8", "bf16"]),
    (["train.eval_strategy=steps", "train.eval_steps=0"], ["eval_steps", "got 0"]),
    (["train.eval_steps=2"], ["eval_steps=2", "eval_strategy=epoch", "eval_strategy=steps"]),
    (["train.eval_strategy=steps"], ["eval_steps=None", "eval_strategy=steps"]),
    (["seed=-1"], ["seed must be at least 0, got -1", "whole number"]),
    (["seed=1.5"], ["seed=1.5", "integer"]),
    (["threads=0"], ["threads must be at least 1, got 0"]),
    (["backbone.heads=5"], ["hidden 384 must be a multiple of heads 5"]),
    (["task=rte", "task.labels=[a,b,c]"], ["3 labels", "2-label task"]),
]


@pytest.mark.parametrize(("overrides", "parts"), VALUES)
def test_impossible_values_are_told(compose_run, overrides, parts):
    with pytest.raises(ConfigError) as error:
        compose_run(*overrides)
    for part in parts:
        assert part in str(error.value)


PLANS = [
    (
        ["method.stages.sparse.num_entries=147457"],
        ["num_entries 147457", "147456 entries", "attention.self.query (384 x 384)"],
    ),
    (["method.stages.low_rank.rank=385"], ["rank 385", "use at most 384"]),
    (["method.stages.low_rank.kinds=[pooler]", "backbone=tiny-roberta"], ["no site of kind pooler", "query"]),
    (["method=full", "method.stages.tune.parameters=adapter"], ["method.stages.tune", "needs an adapter"]),
    (["method=omp", "method.stages.prune.score=update"], ["score=update", "use score=W"]),
]


@pytest.mark.parametrize(("overrides", "parts"), PLANS)
def test_stages_that_cannot_follow_are_told(compose_run, overrides, parts):
    with pytest.raises(ConfigError) as error:
        plan.plan(compose_run(*overrides))
    for part in parts:
        assert part in str(error.value)


def test_a_rate_may_be_a_multiple_of_the_recipes(compose_run):
    assert compose_run("method=peft/ia3", "train.lr_adapter=2e-4").stages["tune"].learning_rate == pytest.approx(2e-3)
    with pytest.raises(ConfigError, match=r"lr_adapter=None: input should be a valid number"):
        compose_run("method=peft/ia3", "train.lr_adapter=null")


def test_seed_zero_and_every_seed_has_its_own_record(compose_run):
    """Wrong turns of the field: seed 0 ignored by `if seed:`, seeds overwriting each other's folder."""
    ids = [compose_run(f"seed={seed}").run_id for seed in (0, 1, 2)]
    assert len(set(ids)) == 3
    assert "-s0-" in ids[0]


DIFFERENT = ["seed=1", "method.stages.prune.sparsity=0.3", "train.epochs=4", "task=toy_sentences", "backbone=tiny-bert"]
SAME = ["force=true", "data_dir=/elsewhere", "results_dir=/elsewhere", "threads=1", "plan=true"]


@pytest.mark.parametrize("override", DIFFERENT)
def test_settings_that_change_a_result_change_the_run_id(compose_run, override):
    assert compose_run(override).run_id != compose_run().run_id


@pytest.mark.parametrize("override", SAME)
def test_paths_and_launch_settings_do_not_change_the_run_id(compose_run, override):
    assert compose_run(override).run_id == compose_run().run_id


def test_a_setting_that_is_not_set_is_no_part_of_the_identity():
    assert config.digest({"a": 1, "b": None}) == config.digest({"a": 1})
    assert config.digest({"a": [1, {"b": None}]}) == config.digest({"a": [1, {}]})
    assert config.digest({"a": 1, "b": False}) != config.digest({"a": 1})


def test_a_backbone_of_ones_own_path_is_another_run(compose_run):
    assert compose_run("backbone.path=/mine").run_id != compose_run().run_id


def one_of_each_kind():
    """`model_type` -> the first backbone in conf/ that has it: kinds differ in their layers and biases."""
    found = {}
    for name in config.options("backbone"):
        found.setdefault(OmegaConf.load(config.CONF / "backbone" / f"{name}.yaml").get("model_type"), name)
    return {kind: name for kind, name in found.items() if kind is not None}


KINDS = one_of_each_kind()


@pytest.mark.parametrize("kinds", [("bert", "gpt2", "llama"), pytest.param(tuple(KINDS), marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", config.options("method"))
def test_every_method_is_typed_and_plans_on_every_kind_of_backbone(compose_run, method, kinds):
    for kind in kinds:
        settings = compose_run(f"method={method}", f"backbone={KINDS[kind]}", "task=rte")
        if method == "peft/bias" and not settings.backbone.spec(2).biases:
            with pytest.raises(ConfigError, match="needs biases, and this backbone has none"):
                plan.plan(settings)
            continue
        if settings.backbone.shared_layers and method in ("dsee_structured", "dsee_structured_40", "earlybert"):
            with pytest.raises(ConfigError, match="layers of this backbone share one layer's weights"):
                plan.plan(settings)
            continue
        planned = plan.plan(settings)
        assert method in ("untuned", "majority") or planned.final.trainable > planned.final.head


@pytest.mark.parametrize("group", ["task", "train", "backbone"])
def test_every_option_is_typed(compose_run, group):
    names = config.options(group)
    assert names
    files = ["task.train=a.csv", "task.dev=b.csv", "task.labels=[bad,good]"]
    asked = {"custom": files, "hub": files}
    for name in names:
        variants = [*config.option(group, name).get("variants", {})][:1]  # each: tests/tasks/test_families.py
        chosen = [*asked.get(name, []), *(f"task.variant={variant}" for variant in variants)]
        if (group, name) != ("backbone", "auto"):  # names no checkpoint; tests/models/test_auto.py
            compose_run(f"{group}={name}", *chosen)


COMMANDS = [
    # arguments,                                   exit code, what is said
    (["--help"], 0, ["bert-base", "Examples:", "plan=json"]),
    (["method=dse"], 1, ["did you mean 'dsee'?"]),
    (["method.stages.prune.sparsity=1.2"], 1, ["sparsity must lie in [0, 1)"]),
    (["method=null"], 1, ["'None' is no option of method", "There are: "]),
    (["plan=maybe"], 1, ["plan=maybe: input should be 'json' or a valid boolean"]),
    (["train.eval_strategy=epochs"], 1, ["input should be 'epoch' or 'steps'"]),
    (["train.update_drop=0.1"], 1, ["no key of train", "+train.update_drop=VALUE"]),
    (["-m", "results_dir=7", "method=lroa"], 1, ["did you mean 'lora'"]),
    (["-m", "results_dir=a,b"], 1, ["results_dir takes one folder", "'results_dir=\"a,b\"'"]),
    (["method.stages.prune.kinds_rest=[foo,bar]"], 1, ["kinds_rest.0=foo: input should be 'query', 'key'"]),
    (["task.rows.trian=9", "task=custom"], 1, ["'trian' is no key of task.rows", "did you mean 'train'?"]),
    (["backbone=roberta-base", "train.max_length=514"], 1, ["max_length=514", "roberta-base reads 512 tokens at most"]),
    (["-m", "method=dsee,full", "method.stages.prune.sparsity=0.5"], 1, ["method=full", "'prune' is no key"]),
]


FOLDERS = [
    # of a user's own YAML, why
    ("mine", "as in the documents"),
    ("a = b, it's mine", "letters that Hydra needs quoted"),
]


@pytest.mark.parametrize(("name", "why"), FOLDERS)
@pytest.mark.parametrize("flag", ["--config-dir {}", "--config-dir={}", "-cd {}", "-m -cd={}"])
def test_an_option_of_ones_own_folder(flag, name, why, tmp_path, monkeypatch, capsys):
    (tmp_path / name / "method").mkdir(parents=True)
    shutil.copy(config.CONF / "method" / "lora.yaml", tmp_path / name / "method" / "own_lora.yaml")
    monkeypatch.setattr(config, "FOLDERS", list(config.FOLDERS))
    words = [word.format(tmp_path / name) for word in flag.split()]
    monkeypatch.setattr(sys, "argv", ["dsee-bench", *words, "method=own_lora", "plan=json", f"results_dir={tmp_path}"])
    with pytest.raises(SystemExit) if "-m" not in words else contextlib.nullcontext() as ended:
        bench.main()
    assert ended is None or ended.value.code == 0, why
    assert [stage["name"] for stage in json.loads(capsys.readouterr().out.splitlines()[-1])["stages"]] == [
        "lora",
        "tune",
    ]


@pytest.mark.parametrize("words", [["--config-dir"], ["--config-dir=/nope"], ["--config-dir", "$NOPE"]])
def test_a_folder_of_ones_own_that_is_none(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dsee-bench", "plan=true", *words])
    with pytest.raises(SystemExit, match=r"dsee-bench: .*--config-dir"):
        bench.main()


# One process for all, as a start takes a second: each with its exit code, what it said, and what it left imported.
SCRIPT = """
import contextlib, io, json, sys
from dsee_bench.cli.bench import main
HEAVY = {"torch", "transformers", "pandas", "datasets", "numpy"}
for arguments in json.load(sys.stdin):
    sys.argv = ["dsee-bench", *arguments]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            code = end.code
            if isinstance(code, str):
                said.write(code)
                code = 1
    print(json.dumps([code or 0, said.getvalue(), sorted(HEAVY & set(sys.modules))]))
"""


@pytest.fixture(scope="module")
def answers():
    asked = json.dumps([arguments for arguments, *_ in COMMANDS])
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=asked, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("number", "code", "parts"), [(at, *row[1:]) for at, row in enumerate(COMMANDS)])
def test_help_and_mistakes_import_nothing_heavy(number, code, parts, answers):
    ended, said, imported = answers[number]
    assert (ended, imported) == (code, []), said
    for part in parts:
        assert part in said
    assert "Traceback" not in said
