"""Settings are checked at every level and on every road: names, types, ranges, and whose code is imported."""

import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest

from dsee_bench import config, plan, record
from dsee_bench.cli import fetch
from dsee_bench.config import ConfigError, flags, validate
from dsee_bench.config.limits import LARGEST
from dsee_bench.report.spec import TableSpec, read_spec
from dsee_bench.runs import lifecycle
from dsee_bench.runs.sweep import expand

BASE = ["backbone=tiny-bert", "task=toy_pairs"]


def settings(*overrides):
    return plan.read(config.resolve(config.compose([*BASE, *overrides])))


MISTAKES = [
    # words,                                                          what the message must say
    (
        ["method=dsee_gradual", "+method.stages.gradual.prune.sparsty=0.5"],
        ["'sparsty'", "gradual.prune", "'sparsity'?"],
    ),
    (["task=rte", "+task.tsv.lable=x"], ["'lable' is no key of task.tsv", "'label'?", "broken_rows"]),
    (["task=toy_d2t", "backbone=tiny-gpt2", "++task.decode.beam=2"], ["'beam' is no key of task.decode", "'beams'?"]),
    (["+backbone.layer=3"], ["'layer' is no key of backbone", "'layers'?"]),
    (["+train.epoch=3"], ["'epoch' is no key of train", "'epochs'?"]),
    (["+tracking.token=abc"], ["'token' is no key of tracking", "project"]),
    (["+method.extra=1"], ["'extra' is no key of method", "name, stages"]),
    (["+sede=1"], ["'sede' is no key or group", "'seed'?", "data_dir"]),
    (["++token=abc"], ["'token' is no key or group"]),
    (
        ["method=peft/adalora", "+method.stages.adalora.settings.lora_alfa=1"],
        ["'lora_alfa'", "'lora_alpha'?", "init_r"],
    ),
    (["~method"], ["method is missing", "~method"]),
    (["~seed"], ["seed is missing"]),
    (["~task"], ["task is missing"]),
    (["~method.stages"], ["method.stages is missing"]),
    (["~train.epochs"], ["method.stages.tune.epochs=${train.epochs}", "'train.epochs' not found"]),
    (["method.stages=null"], ["method.stages=None", "group of settings"]),
    (["method.stages.tune=null"], ["method.stages.tune=None", "~method.stages.tune"]),
    (["+method.stages.x=5"], ["method.stages.x=5", "_target_"]),
    (["method.name={a: 1}"], ["method.name={'a': 1}", "string"]),
    (["tracking=null"], ["tracking=None", "group of settings"]),
    (["train=null"], ["no option of train"]),
    (["backbone=null"], ["no option of backbone"]),
    (["seed=${nope}"], ["seed=${nope}", "'nope' not found", "give seed a value"]),
    (["seed=${seed}"], ["seed=${seed}", "Recursive"]),
    (["seed=???"], ["seed=???", "give seed a value"]),
    (["seed=" + "9" * 5000], ["too many digits"]),
    (["seed=" + "9" * 4000], [f"at most {LARGEST}", "999..."]),
    (["train.betas=[2,3]"], ["train.betas.0 must lie in [0, 1), got 2"]),
    (["train.betas=[0.9]"], ["train.betas has too few values"]),
    (["train.batch_size=true"], ["train.batch_size=True", "integer"]),
    (["task.rows.dev=1"], ["task.rows.dev must be at least 2, got 1", "one of each class"]),
    (["task.labels=5"], ["task.labels=5", "tuple"]),
    (["method=peft/supertuning", "method.stages.supertuning.settings.sparsity=1.5"], ["settings.sparsity must lie in"]),
    (["method=lora", "method.stages.lora.settings.lora_alpha=nan"], ["settings.lora_alpha must be above 0, got nan"]),
]


@pytest.mark.parametrize(("words", "parts"), MISTAKES)
def test_a_mistake_is_one_line_with_name_and_rule(words, parts):
    with pytest.raises(ConfigError) as error:
        settings(*words)
    for part in parts:
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1200


ROADS = {
    "a run or its plan": settings,
    "dsee-report status": lambda *words: expand([*BASE, *words]),
    "dsee-bench fetch": lambda *words: fetch.sources([*BASE, *words]),
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("word", ["+task.rwos=3", "++token=abc", "task._target_=planted.Task", "seed=${nope}", "~task"])
def test_every_road_refuses(road, word):
    with pytest.raises(ConfigError):
        ROADS[road](word)


# --- numbers ----------------------------------------------------------------------------------------------------------

NUMBERS = {
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "true": True,
    "huge": 10**400,
    "just too large": LARGEST + 1,
}


def numeric(kind, place=""):
    """Every number in a class of settings, at any depth: its place, its annotation."""
    if (get_origin(kind) is Annotated and get_args(kind)[0] in (int, float)) or kind in (int, float):
        yield place, kind
    elif is_dataclass(kind):
        for name, inner in get_type_hints(kind, include_extras=True).items():
            if name in {field.name for field in fields(kind)}:
                yield from numeric(inner, f"{place}.{name}")
    elif get_origin(kind) is not None and isinstance(get_origin(kind), type | object):
        for part in get_args(kind)[: 1 if get_origin(kind) is Annotated else None]:
            if part is not Ellipsis and not isinstance(part, str):
                yield from numeric(part, place)


def classes():
    """Every class that conf/ names, and those without a `_target_`."""
    from omegaconf import OmegaConf

    found = {plan.Composition, TableSpec}
    for path in config.CONF.rglob("*.yaml"):
        target = OmegaConf.load(path).get("_target_")
        where = {"backbone": "backbone", "task": "task", "stage": "method"}.get(path.parent.name)
        if target is not None and where is not None and path.stem != "auto":
            found.add(validate.class_of(target, where))
    return sorted(found, key=lambda cls: cls.__name__)


FIELDS = [(cls.__name__, place, kind) for cls in classes() for place, kind in numeric(cls)]


def test_the_numbers_are_found():
    places = {place for _, place, _ in FIELDS}
    assert {".train.eps", ".train.betas", ".prune.sparsity", ".decode.beams", ".rows", ".seed", ".threads"} <= places
    assert len(FIELDS) > 80


@pytest.mark.parametrize("number", NUMBERS)
def test_no_number_takes_what_is_no_finite_number(number):
    """Tables compare settings with any value: `where` and `filters` are no settings of a run."""
    from pydantic import TypeAdapter, ValidationError

    def takes(kind):
        try:
            TypeAdapter(kind).validate_python(NUMBERS[number])
        except ValidationError:
            return False
        return True

    compared = {("TableSpec", ".rows.where"), ("TableSpec", ".filters")}
    asked = [(name, place) for name, place, kind in FIELDS if takes(kind)]
    assert set(asked) <= compared


def test_a_number_in_a_free_dict_is_finite_too():
    with pytest.raises(ConfigError, match=r"settings\.loftq_config\.x must be finite .* got nan"):
        settings("method=lora", "+method.stages.lora.settings.loftq_config={x: nan}")


# --- whose code is imported -------------------------------------------------------------------------------------------

TARGETS = [
    # target,                             kind,       why
    ("planted.Task", "task", "another package"),
    ("dsee_bench_planted.Task", "task", "a name that begins alike"),
    ("os.system", "method", "a function of Python's"),
    ("dsee_bench.tasks.toy.random.Random", "task", "a module that ours imports"),
    ("dsee_bench.tasks.toy.Path", "task", "a class that ours imports"),
    ("dsee_bench.tasks.toy.Toy", "method", "of another kind"),
    ("dsee_bench.stages.prune.Pool", "method", "no stage"),
    ("dsee_bench.stages.nope.Nope", "method", "is not there"),
    ("dsee_bench.stages..x", "method", "no name"),
    (7, "backbone", "no text"),
    (None, "backbone", "nothing"),
]


@pytest.mark.parametrize(("target", "kind", "why"), TARGETS)
def test_a_target_is_a_class_of_ours(target, kind, why):
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=r"_target_.* must name a class of settings in dsee_bench"):
        validate.build({"_target_": target}, kind)
    assert not {name for name in set(sys.modules) - before if not name.startswith("dsee_bench")}, why


PLANTED = [
    "task._target_=planted.Task",
    "+method.stages.x={_target_: planted.Task}",
    "method=dsee_gradual method.stages.gradual.prune._target_=planted.Task",
    "hydra.sweeper._target_=planted.Task",
    "hydra.launcher._target_=planted.Task",
    "+hydra.callbacks.x._target_=planted.Task",
    "hydra.job_logging={version: 1, handlers: {x: {class: planted.Task}}}",
    "hydra.job_logging={version: 1, handlers: {x: {stream: ext://planted.stream}}}",
    "hydra.searchpath=[pkg://planted]",
    "--experimental-rerun planted.pickle",
]


@pytest.mark.slow
@pytest.mark.parametrize("words", PLANTED)
@pytest.mark.parametrize("flag", [[], ["--multirun"]], ids=["run", "multirun"])
def test_nothing_that_is_planted_is_imported(words, flag, tmp_path):
    """The planted module leaves a file where it is imported."""
    (tmp_path / "planted.py").write_text("from pathlib import Path\nPath(__file__).with_name('imported').touch()\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from dsee_bench.cli.bench import main; main()"
    words = [words] if "{" in words else words.split()
    command = [sys.executable, "-c", script, *flag, *BASE, f"results_dir={tmp_path / 'out'}", "plan=true", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert not (tmp_path / "imported").exists()
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 2
    assert not (tmp_path / "out" / "runs").exists()


@pytest.mark.parametrize("words", [[], ["hydra/launcher=processes"], ["hydra/launcher=slurm"], ["experiment=glue"]])
def test_what_is_shipped_passes(words):
    flags.check_hydra([*BASE[:0], *words])


# --- words that Hydra needs quoted ------------------------------------------------------------------------------------

NAMES = [
    "/a=b",
    "/a;b",
    "/é",
    "日本",
    "/a (1)",
    "/a[1]",
    'a"b',
    "it's",
    "a&b #1",
    "~/x=1",
    "a\\b=1",
    'a\\"=',
    "a=\\",
    "$x=1",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_quoted_word_of_the_error_works(name):
    """What the error shows goes through a shell and Hydra and is the name again."""
    with pytest.raises(ConfigError) as error:
        config.parse(f"data_dir={name}")
    word = str(error.value).rpartition("typed ")[2]
    (read_by_shell,) = shlex.split(word)
    assert config.parse(read_by_shell).value() == name


@pytest.mark.parametrize(("word", "name"), [("data_dir=/a,b", "/a,b"), ("data_dir=7", "7"), ("data_dir=[a]", "[a]")])
def test_a_name_that_is_taken_for_something_else_is_shown_quoted(word, name):
    with pytest.raises(ConfigError) as error:
        settings(word)
    read_by_shell = shlex.split(str(error.value))[-1]
    assert config.parse(read_by_shell).value() == name


# --- the record of whatever happens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [{"x": object()}, {"x": {1, 2}}])
def test_facts_that_json_does_not_hold_leave_a_failed_record(facts, tmp_path):
    done = record.Record("a-b-c-s0-00000000", "finished", {}, {}, stages=(record.StageLog("tune", 1.0, None, facts),))
    written = lifecycle.write_outcome(done, tmp_path)
    assert written.status == "failed"
    assert "not JSON serializable" in record.read(record.path_of(done.run_id, tmp_path)).error


def test_a_table_with_a_misspelt_key_is_refused(tmp_path):
    text = (config.CONF / "table" / "all.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("show: percent", "shwo: percent", 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"'shwo' is no key of .*mine\.yaml\.costs\.1; did you mean 'show'\?"):
        read_spec(path)
