"""A run that names no recipe has the one of its backbone, task and method, which says where it was not made for them.

Expected numbers: the authors' scripts (VITA-Group/DSEE at 61844c3, scripts/*.sh), LoRA's (microsoft/LoRA,
examples/NLU/roberta_base_*.sh and the README's command for GPT-2 medium on E2E).
"""

import dataclasses
import itertools
import json
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from dsee_bench import config, plan
from dsee_bench.config import recipes
from dsee_bench.plan import text as plan_text
from dsee_bench.runs import sweep

OPTIONS = [name for name in config.options("train") if name != "auto"]


def resolved(words):
    return OmegaConf.to_container(config.compose(words.split()), resolve=True)


RUNS = [
    # words,                                         recipe, some of its settings, why
    ("", "demo", {"lr_adapter": 2e-3, "epochs": 3, "retune_epochs": 2, "max_length": 64}, "the bare command"),
    ("method=dsee task=sst2 backbone=bert-base", "dsee_sst2",
     {"lr_adapter": 2e-4, "epochs": 5, "retune_epochs": 5, "max_length": 128, "warmup_ratio": 0, "batch_size": 32},
     "sst2_unstructured_0.2.sh; 4 GPUs x 8"),
    ("method=dsee task=rte backbone=bert-base", "dsee_glue", {"lr_adapter": 5e-4, "epochs": 5, "retune_epochs": 10},
     "rte_unstructured_0.2.sh"),
    ("method=dsee_structured task=rte backbone=bert-base", "dsee_rte_structured",
     {"lr_adapter": 5e-4, "epochs": 5, "lr_retune": 6e-4, "retune_epochs": 8}, "rte.sh, then rte_structured_3.sh"),
    ("task=cola backbone=bert-base", "dsee_glue", {"lr_adapter": 5e-4}, "ours: about RTE's size"),
    ("task=mnli backbone=bert-base", "dsee_sst2", {"lr_adapter": 2e-4}, "ours: about SST-2's size"),
    ("task=mnli backbone=roberta-base method=lora", "lora_glue",
     {"lr_adapter": 5e-4, "epochs": 30, "batch_size": 128, "warmup_ratio": 0.06, "weight_decay": 0.1,
      "max_length": 512},
     "roberta_base_mnli.sh: 8 GPUs x 16"),
    ("task=cola backbone=roberta-base method=lora", "lora_glue",
     {"lr_adapter": 4e-4, "epochs": 80, "batch_size": 64}, "roberta_base_cola.sh: 2 GPUs x 32"),
    ("task=qnli backbone=roberta-base method=lora", "lora_glue",
     {"lr_adapter": 4e-4, "epochs": 25, "batch_size": 256}, "roberta_base_qnli.sh: 8 GPUs x 32"),
    ("task=rte backbone=roberta-base method=lora", "lora_glue",
     {"lr_adapter": 5e-4, "epochs": 80, "batch_size": 256}, "roberta_base_rte.sh: 8 GPUs x 32"),
    ("task=stsb train=lora_glue method=lora", "lora_glue", {"lr_adapter": 4e-4, "epochs": 40}, "by name, too"),
    ("task=e2e backbone=gpt2-medium method=lora", "lora_e2e",
     {"lr_adapter": 2e-4, "epochs": 5, "batch_size": 8, "warmup_steps": 500, "label_smoothing": 0.1,
      "adapter_dropout": 0.1},
     "LoRA's README"),
    ("task=dart backbone=gpt2-large method=dsee", "dsee_e2e", {"epochs": 5, "retune_epochs": 2}, "the nearest"),
    ("task=e2e backbone=smollm2 method=dsee", "e2e_small", {"max_rows": 800}, "what one core can do"),
    ("task=rte backbone=minilm", "glue_small", {"lr_adapter": 1e-3, "epochs": 3}, "a small encoder"),
    ("task=custom backbone=minilm task.labels=[a,b]", "glue_small", {"lr_adapter": 1e-3}, "on own files, too"),
    ("task=custom backbone=roberta-base", "dsee_glue", {"epochs": 5}, "not LoRA's 80 epochs, which are for GLUE"),
    ("task=toy_d2t backbone=tiny-gpt2", "demo_nlg", {"epochs": 10}, "the demo of data to text"),
    ("task=toy_sentences backbone=bert-base", "demo", {}, "toys have the demo's"),
    ("task=sst2 backbone=bert-base train=demo", "demo", {"lr_adapter": 2e-3}, "train= wins"),
    ("task=sst2 backbone=bert-base train.epochs=7", "dsee_sst2", {"epochs": 7, "lr_adapter": 2e-4}, "one setting"),
    ("experiment=glue task=sst2", "dsee_glue", {}, "an experiment keeps the recipe that it names"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "name", "settings", "why"), RUNS)
def test_a_run_has_the_recipe_that_belongs_to_it(words, name, settings, why):
    train = resolved(words)["train"]
    assert train["name"] == name, why
    assert {key: train[key] for key in settings} == settings, why


ADAPTERS = [
    # words, rank, alpha, source
    ("backbone=gpt2-medium task=e2e method=lora", 4, 32, "LoRA's README"),
    ("backbone=gpt2 task=webnlg method=dsee", 4, 32, "the paper's R for GPT-2"),
    ("backbone=roberta-base task=mnli method=lora", 8, 16, "roberta_base_mnli.sh"),
    ("backbone=bert-base task=sst2 method=dsee", 16, 32, "sst2_unstructured_0.2.sh"),
    ("backbone=smollm2 task=e2e method=lora", 16, 32, "ours"),
    ("backbone=gpt2 task=e2e method=dsee_structured", 4, 8, "the method's own, over all weights"),
]


@pytest.mark.parametrize(("words", "rank", "alpha", "source"), ADAPTERS)
def test_the_adapter_has_the_backbones_rank(words, rank, alpha, source):
    stages = resolved(words)["method"]["stages"]
    found = stages["low_rank"] if "low_rank" in stages else stages["lora"]["settings"]
    assert (found.get("rank", found.get("r")), found.get("alpha", found.get("lora_alpha"))) == (rank, alpha), source


def test_the_second_tuning_may_have_a_rate_of_its_own():
    stages = resolved("method=dsee_structured task=rte backbone=bert-base")["method"]["stages"]
    assert (stages["tune"]["learning_rate"], stages["retune"]["learning_rate"]) == (5e-4, 6e-4)
    stages = resolved("method=dsee task=rte backbone=bert-base train.lr_adapter=1e-4")["method"]["stages"]
    assert (stages["tune"]["learning_rate"], stages["retune"]["learning_rate"]) == (1e-4, 1e-4)


def test_no_combination_runs_with_a_recipe_made_for_another_without_a_word():
    there = [[option(group, name) for name in config.options(group)] for group in ("backbone", "task", "method")]
    # Those without a name have that of a checkpoint or data set.
    there = [[each for each in options if each["name"] is not None] for options in there]
    walked = said = 0
    for backbone, task, method in itertools.product(*there):
        run = {"backbone": backbone, "task": task, "method": method}
        source = recipes.source({**run, "train": recipes.settings(run, config.CONF)}, config.CONF)
        walked += 1
        assert source.nearest
        assert source.whose
        assert source.changed == {}
        assert source.name.startswith("demo") == task["name"].startswith("toy_"), "the demo's is for toys alone"
        if backbone["name"] not in source.made_for["backbone"]:
            said += 1
            assert backbone["name"] in source.line().partition("; not made for ")[2]
        if task["name"] not in source.made_for["task"]:
            assert task["name"] in source.line().partition("; not made for ")[2]
        if source.name in ("dsee_sst2", "dsee_glue"):  # theirs are unstructured
            assert method["name"] in source.line().partition("; not made for ")[2] or method["name"] in (
                *("dsee", "dsee_update", "dsee_authors"),
            )
    assert walked > 5_000
    assert 0 < said < walked


def test_what_was_made_for_a_run_is_told_without_more():
    assert settings_of("method=dsee task=sst2 backbone=bert-base").source.line() == (
        "recipe dsee_sst2 (DSEE's authors), made for bert-base on sst2 with dsee, dsee_update, dsee_authors"
    )
    assert settings_of("").source.line() == "recipe demo (ours), made for minilm on toy_pairs, toy_sentences"


def test_what_was_made_for_other_runs_and_what_was_changed_is_told():
    line = settings_of("task=mnli backbone=bert-large train.epochs=1").source.line()
    assert line.endswith("; not made for bert-large, mnli (the nearest there is); changed: epochs=1")
    line = settings_of("task=rte backbone=bert-base train=demo").source.line()
    assert line.endswith("; not made for bert-base, rte"), "the demo's is not the nearest there is"
    line = settings_of("task=rte train.name=mine").source.line()
    assert line.startswith("recipe mine: not listed")


def settings_of(words):
    return plan.read(resolved(words))


def test_the_plan_says_whose_recipe_it_is():
    planned = plan.plan(settings_of("method=full task=mnli backbone=bert-large"))
    assert planned.source.line() in plan_text.as_text(planned).splitlines()
    told = json.loads(plan_text.as_json(planned))["recipe"]
    assert (told["name"], told["whose"], told["nearest"]) == ("dsee_sst2", "DSEE's authors", True)
    assert told["not_made_for"] == ["bert-large", "mnli", "full"]


def test_each_run_of_a_sweep_has_its_own():
    cells = sweep.expand(["backbone=bert-base,minilm,roberta-base", "task=sst2,toy_pairs", "method=lora"])
    names = [sweep.resolved(cell.overrides)["train"]["name"] for cell in cells]
    assert names == ["dsee_sst2", "demo", "glue_small", "demo", "lora_glue", "demo"]


@pytest.mark.slow  # starts Hydra's launcher
def test_each_job_of_hydras_multirun_has_its_own():
    words = ["--multirun", "backbone=bert-base,minilm", "task=sst2", "plan=true"]
    done = subprocess.run(
        [sys.executable, "-m", "dsee_bench.cli.bench", *words], capture_output=True, text=True, check=True
    )
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("recipe ")] == [
        *("dsee_sst2", "glue_small")
    ]


def test_every_recipe_is_listed_and_nothing_else():
    table = OmegaConf.load(config.CONF / "recipes.yaml")
    assert sorted(table) == sorted(OPTIONS)
    names = {
        group: {option(group, name)["name"] for name in config.options(group)}
        for group in ("backbone", "task", "method")
    }
    for recipe, entry in table.items():
        for group, made_for in entry.made_for.items():
            listed = [made_for] if isinstance(made_for, str) else list(made_for)
            assert set(listed) <= names[group], f"{recipe} is made for what there is"


def option(group, name):
    """What the file itself says; no option of backbone or task is made from another."""
    return OmegaConf.to_container(OmegaConf.load(config.CONF / group / f"{name}.yaml"))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_recipe_is_read_as_hydra_composes_it(name):
    for task, method in (("rte", "lora_all_twice"), ("mnli", "dsee")):
        composed = resolved(f"train={name} task={task} method={method}")["train"]
        assert recipes.read(name, task, method, config.CONF) == composed


def test_the_default_asks_for_every_setting():
    auto = OmegaConf.load(config.CONF / "train" / "auto.yaml")
    assert list(auto) == list(dict.fromkeys(auto))
    assert set(auto) == {field.name for field in dataclasses.fields(config.recipes.Recipe)}
