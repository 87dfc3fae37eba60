"""A family of tasks in one file, and one task from the hub or from its published files.

    name: null            # null: the variant's
    texts: [premise, hypothesis]
    label: null
    variant: null
    variants:
      cb:
        name: cb
        from_hub: {hub: aps/super_glue, config: cb, split: {train: train, dev: validation}, label: label}
        from_files: {split: {train: train.jsonl, dev: val.jsonl}, label: gold_label}

`task.variant` names one of `variants`. `from_files` is for a run with a `data_dir`, `from_hub` for one without. Each of
them fills in what is null or missing, at any depth; so an override such as `task.label=x` stays, and what is shared is
written once above them. A variant with `from_hub: null` has none of that source. What is left is a task like any other.
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from dsee_bench.config import ConfigError, nearest

if TYPE_CHECKING:
    from omegaconf import DictConfig

SOURCES = ("from_hub", "from_files")


def chosen(composed: "DictConfig") -> "DictConfig":
    """Return the composition with the task's variant and source filled in; a task without them stays as it is."""
    task = composed.get("task")
    if not OmegaConf.is_dict(task) or not {"variants", *SOURCES} & {*task}:
        return composed
    node: dict[str, Any] = OmegaConf.to_container(task, resolve=False)  # type: ignore[assignment]
    if "variants" in node:
        node = _of_variant(node)
    sources = {name: node.pop(name, None) for name in SOURCES}
    source = sources["from_hub" if composed.get("data_dir") is None else "from_files"]
    if source is None and any(sources.values()):
        ways = "by data_dir=DIR" if composed.get("data_dir") is None else "on the hub: leave out data_dir"
        raise ConfigError(f"task {node.get('name')} can only be read {ways}")
    composed = copy.deepcopy(composed)
    composed._set_flag("struct", False)
    composed.task = _filled(node, source or {})
    return composed


def _of_variant(node: dict[str, Any]) -> dict[str, Any]:
    variants, variant = node.pop("variants"), node.pop("variant", None)
    names = ", ".join(map(str, variants))
    family = node.get("name") or "the task"
    if variant is None:
        raise ConfigError(f"{family} is a family of tasks; choose one by task.variant=NAME: {names}")
    if variant not in variants:
        known = nearest(str(variant), [str(name) for name in variants])
        raise ConfigError(f"task.variant={variant} is no variant of {family}{known} There are: {names}")
    own = variants[variant]
    without = {name for name in SOURCES if name in own and own[name] is None}  # the family's, which it does not have
    return {key: value for key, value in _filled(node, own).items() if key not in without}


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
