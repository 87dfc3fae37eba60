"""The settings of a recipe; which recipe belongs to a run, whose it is, and what it was made for (conf/recipes.yaml).

`train: auto` (conf/train/auto.yaml) takes every setting from the recipe that `belonging` names, so `train=` and single
settings override it as they override any other recipe.
"""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from omegaconf import OmegaConf

from dsee_bench.config.limits import Count, CountOrZero, Limits, NotNegative, Positive, Seed, Share

SMALL, BASE = 50e6, 200e6  # weights in the layers below which a model is small, or base
MANY = 20_000  # training rows from which on a task has many
NAMED = ("backbone", "task", "method")  # what a recipe is made for


Rows = Annotated[int, Limits(ge=1, hint="null takes all rows")]


@dataclass(frozen=True)
class Recipe:
    """Recipe of a tuning stage. Learning rates go by what is tuned, epochs by stage."""

    name: str
    batch_size: Count  # rows a step, over all accumulated parts
    gradient_accumulation_steps: Count  # parts a batch is split into, to save memory
    lr_full: Positive  # learning rate where all weights are tuned
    lr_adapter: Positive  # learning rate where only an adapter and the head are
    epochs: Positive
    retune_epochs: Positive
    max_length: Count  # tokens; longer inputs are cut
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup_ratio: Share  # share of all steps in which the rate rises
    weight_decay: NotNegative
    max_grad_norm: Annotated[float, Limits(gt=0, hint="max_grad_norm=null switches it off")] | None
    betas: tuple[Share, Share]
    eps: Positive
    precision: Literal["auto", "fp32", "bf16"]
    eval_strategy: Literal["epoch", "steps"]  # when a tuning is scored on dev
    select_on: Literal["validation", "dev", "last"]  # the rows that choose a tuning's best weights; last: none do
    max_rows: Rows | None  # train on the first rows only; None: all
    eval_steps: Count | None = None  # steps between two evaluations, for eval_strategy=steps
    warmup_steps: CountOrZero | None = None  # in place of warmup_ratio
    validation: Annotated[float, Limits(gt=0)] | None = None  # share (below 1) or number of train's rows held out
    validation_seed: Seed | None = None  # draws them; the same for all methods and run seeds
    dev_rows: Rows | None = None  # while training, measure on the first rows of dev only; None: all
    label_smoothing: Share | None = None  # share of the target spread over all classes or tokens
    class_weights: Literal["balanced"] | tuple[Positive, ...] | None = None  # in the training loss alone; None: all 1
    adapter_dropout: Share | None = None  # on the input of an adapter
    lr_retune: Positive | None = None  # of an adapter that is tuned again; None: lr_adapter
    gradient_checkpointing: bool | None = None  # layers run again in the backward, to save memory; no result changes

    def __post_init__(self) -> None:
        if self.batch_size % self.gradient_accumulation_steps:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of gradient_accumulation_steps "
                f"{self.gradient_accumulation_steps}"
            )
        if (self.eval_strategy == "steps") != (self.eval_steps is not None):
            raise ValueError(
                f"eval_steps={self.eval_steps} does not go with eval_strategy={self.eval_strategy}; give "
                "eval_strategy=steps and a number of eval_steps, or eval_strategy=epoch and eval_steps=null"
            )
        held_out = [value is not None for value in (self.validation, self.validation_seed)]
        if held_out != [self.select_on == "validation"] * 2:
            raise ValueError(
                f"validation={self.validation} and validation_seed={self.validation_seed} do not go with "
                f"select_on={self.select_on}; both are read by select_on=validation alone"
            )
        if self.validation is not None and self.validation >= 1 and self.validation != int(self.validation):
            raise ValueError(f"validation must be a share below 1 or a whole number of rows, got {self.validation}")

    def check_classes(self, kind: str, labels: Sequence[str]) -> None:
        """Raise ValueError where class weights do not go with the task: it has no classes, or more or fewer."""
        if self.class_weights is None:
            return
        if kind not in ("classification", "multi_label"):
            raise ValueError(f"train.class_weights={self.class_weights} needs classes or labels; its kind is {kind}")
        if not isinstance(self.class_weights, str) and labels and len(self.class_weights) != len(labels):
            raise ValueError(
                f"train.class_weights={list(self.class_weights)} has {len(self.class_weights)} weights for "
                f"{len(labels)} classes ({', '.join(labels)}); give one for each, in that order, or balanced"
            )

    def rows_used(self, rows: int) -> int:
        return rows if self.max_rows is None else min(rows, self.max_rows)

    def held_out(self, rows: int) -> int:
        """Return how many of `rows` training examples are held out for validation: a share is rounded up."""
        share = self.validation or 0
        return math.ceil(share * rows) if share < 1 else int(share)

    def steps(self, rows: int, epochs: float) -> int:
        """Return the optimizer steps over `rows` training rows, as transformers' Trainer counts them."""
        return math.ceil(epochs * math.ceil(self.rows_used(rows) / self.batch_size))


@dataclass(frozen=True)
class Source:
    """Origin of a run's recipe, for plan, record and log."""

    name: str
    whose: str | None  # None: conf/recipes.yaml does not say
    made_for: dict[str, list[str]]  # names of backbone, task, method; one that is left out may be any
    not_made_for: tuple[str, ...]  # the run's names that are not among them
    nearest: bool  # it is the one that the run would take by itself
    changed: dict[str, Any]  # settings of the run that are not the recipe's

    def line(self) -> str:
        """Return one line for people."""
        text = sentence(self.name, self.whose, self.made_for, self.not_made_for)
        if self.not_made_for and self.nearest:
            text += " (the nearest there is)"
        if self.changed:
            text += f"; changed: {', '.join(f'{key}={value}' for key, value in self.changed.items())}"
        return text


def sentence(name: str, whose: str | None, made_for: Mapping[str, list[str]], not_made_for: Iterable[str]) -> str:
    """Return `recipe demo (ours), made for minilm on toy_pairs; not made for bert-base`."""
    if whose is None:
        return f"recipe {name}: not listed in conf/recipes.yaml, so nobody says what it was made for"
    words = {"backbone": "", "task": "on ", "method": "with "}
    made = " ".join(words[key] + ", ".join(names) for key, names in made_for.items())
    others = ", ".join(not_made_for)
    return f"recipe {name} ({whose}), made for {made}" + (f"; not made for {others}" if others else "")


def of_runs(name: str, runs: Iterable[Mapping[str, str]], conf: Path) -> str:
    """Return the sentence on a recipe of several runs, each given by its names of backbone, task and method."""
    entry = _table(conf).get(name)
    if entry is None:
        return sentence(name, None, {}, ())
    made_for = _made_for(entry)
    return sentence(
        name, entry["whose"], made_for, dict.fromkeys(each for run in runs for each in _others(made_for, run))
    )


def source(config: Mapping[str, Any], conf: Path) -> Source:
    """Return the origin of the recipe of a resolved configuration."""
    name = str(config["train"].get("name"))
    entry = _table(conf).get(name)
    if entry is None:
        return Source(name, None, {}, (), nearest=False, changed={})
    names = {group: str(config[group]["name"]) for group in NAMED}
    made_for = _made_for(entry)
    own = read(name, names["task"], names["method"], conf)
    changed = {key: value for key, value in config["train"].items() if value != own.get(key)}
    return Source(
        name,
        entry["whose"],
        made_for,
        _others(made_for, names),
        nearest=name == belonging(config, conf),
        changed=changed,
    )


def _made_for(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    return {key: _listed(value) for key, value in entry["made_for"].items()}


def _others(made_for: Mapping[str, list[str]], run: Mapping[str, str]) -> tuple[str, ...]:
    """Return the run's names of backbone, task and method that the recipe was not made for."""
    return tuple(run[key] for key, names in made_for.items() if run[key] not in names)


def belonging(config: Mapping[str, Any], conf: Path) -> str:
    """Return the name of the recipe for the backbone, task and method of a configuration."""
    facts = _facts(config)
    return _first(tuple(facts.items()), conf)


def settings(config: Mapping[str, Any], conf: Path) -> dict[str, Any]:
    """Return the settings of the recipe for a configuration."""
    return read(belonging(config, conf), str(_at(config, "task.name")), str(_at(config, "method.name")), conf)


@functools.cache
def _first(facts: tuple[tuple[str, str], ...], conf: Path) -> str:
    known = dict(facts)
    for name, entry in _table(conf).items():
        for suits in entry.get("suits", ()):
            if all(any(fnmatchcase(known[key], each) for each in _listed(wanted)) for key, wanted in suits.items()):
                return name
    raise AssertionError("conf/recipes.yaml ends with a recipe that suits every run")


def _facts(config: Mapping[str, Any]) -> dict[str, str]:
    """Return what conf/recipes.yaml chooses by. A setting of a wrong type is refused later, by its class."""
    layers, hidden, rows = (_at(config, key) for key in ("backbone.layers", "backbone.hidden", "task.rows.train"))
    weights = 12 * layers * hidden**2 if isinstance(layers, int) and isinstance(hidden, int) else BASE
    names = {group: f"{group}.name" for group in NAMED}
    keys = {**names, "family": "backbone.model_type", "kind": "task.kind"}
    return {
        **{fact: str(_at(config, key)) for fact, key in keys.items()},
        "size": "small" if weights < SMALL else "base" if weights < BASE else "large",
        "toy": "yes" if ".toy" in str(_at(config, "task._target_")) else "no",
        "rows": "many" if isinstance(rows, int) and rows >= MANY else "few",
    }


def _at(config: Any, key: str) -> object:
    """Return the value under a dotted key, or None."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def read(name: str, task: str, method: str, conf: Path) -> dict[str, Any]:
    """Return the settings of a recipe for a task and a method; it may read their names, and nothing else of a run."""
    return _resolved(name, task, method if _asks_for_the_method(name, conf) else "any", conf)


@functools.cache
def _unresolved(name: str, conf: Path) -> Any:
    of_all = OmegaConf.load(conf / "config.yaml").train  # settings of every recipe
    return OmegaConf.merge(of_all, option("train", name, conf))


@functools.cache
def _asks_for_the_method(name: str, conf: Path) -> bool:
    return "${method.name}" in str(_unresolved(name, conf))


@functools.cache
def _resolved(name: str, task: str, method: str, conf: Path) -> dict[str, Any]:
    """The settings for a task and a method, made once: there are many methods, and few recipes ask for theirs."""
    names = {"task": {"name": task}, "method": {"name": method}}
    composed = OmegaConf.create({**names, "train": _unresolved(name, conf)})
    return OmegaConf.to_container(composed.train, resolve=True)  # type: ignore[return-value]


@functools.cache
def option(group: str, name: str, conf: Path) -> Any:
    """Return conf/<group>/<name>.yaml over the files that its `defaults` name, as Hydra composes it, but faster.

    Every caller gets the same object: merge it or turn it into plain values, never change it.
    """
    content: Any = OmegaConf.load(conf / group / f"{name}.yaml")
    merged: Any = OmegaConf.create()
    parents = content.pop("defaults", [])
    for parent in parents if "_self_" in parents else ["_self_", *parents]:
        file, _, place = parent.partition("@")
        if parent == "_self_":
            merged = OmegaConf.merge(merged, content)
            continue
        folder, file = file[1:].split("/", 1) if file[0] == "/" else (group, file)
        part = option(folder, file, conf)
        for key in reversed([] if place in ("", "_here_") else place.split(".")):
            part = OmegaConf.create({key: part})
        merged = OmegaConf.merge(merged, part)
    return merged


@functools.cache
def _table(conf: Path) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(conf / "recipes.yaml"))  # type: ignore[return-value]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def register(conf: Path) -> None:
    """Register the resolvers of the YAML files.

    `${recipe:epochs}` is a setting of the recipe for the run; `${pick:${task.name},{cola:64},256}` is the value under a
    name, or the last; `${or:${a},${b}}` is b where a is null.
    """

    def recipe(setting: str, *, _root_: Mapping[str, Any]) -> object:
        return settings(_root_, conf).get(setting)

    OmegaConf.register_new_resolver("recipe", recipe, replace=True)
    OmegaConf.register_new_resolver("pick", lambda name, values, other: values.get(name, other), replace=True)
    OmegaConf.register_new_resolver("or", lambda value, other: other if value is None else value, replace=True)
