"""A family of tasks in one file: `variants` holds what each has of its own, and `task.variant` names one.

    name: null            # null: the variant's
    texts: [premise, hypothesis]
    label: null
    variant: null
    variants:
      cb: {name: cb, label: label}
      scitail: {name: scitail, label: gold_label, texts: [sentence1, sentence2]}

A variant fills in what is null or missing, at any depth; so an override such as `task.label=x` stays, and a setting
that the variants share is written once above them.
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from dsee_bench.config import ConfigError, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig


def chosen(composed: "DictConfig") -> "DictConfig":
    """Return the composition with the task's variant filled in; a task without variants stays as it is."""
    task = composed.get("task")
    if not OmegaConf.is_dict(task) or "variants" not in task:
        return composed
    node: dict[str, Any] = OmegaConf.to_container(task, resolve=False)  # type: ignore[assignment]
    variants, variant = node.pop("variants"), node.pop("variant", None)
    names = ", ".join(map(str, variants))
    family = node.get("name") or "this task"
    if variant is None:
        raise ConfigError(f"{family} is a family of tasks; choose one by task.variant=NAME: {names}")
    if variant not in variants:
        known = nearest(str(variant), [str(name) for name in variants])
        raise ConfigError(f"task.variant={variant} is no variant of {family}{known} There are: {names}")
    composed = copy.deepcopy(composed)
    composed._set_flag("struct", False)
    composed.task = _filled(node, variants[variant])
    return composed


def _filled(node: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `node` with the values of `own` where it has none."""
    made = dict(node)
    for key, value in own.items():
        there = made.get(key)
        if there is None or there == {}:
            made[key] = value
        elif isinstance(there, Mapping) and isinstance(value, Mapping):
            made[key] = _filled(there, value)
    return made
