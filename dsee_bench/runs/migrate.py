"""Carry records of schema 1 over to schema 2: new names of settings, stages and states; no value changes.

A record is named after its settings, so its file and its work folder get new names, too. Cached states do not: their
keys hold the old names, and `dsee-bench cache prune` removes them.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dsee_bench import record
from dsee_bench.config import run_id
from dsee_bench.system.files import write_atomically

STATUS = {"ok": "finished", "stopped": "interrupted"}
MODULES = {"backbones": "models"}  # first part of a module of this package
STAGE_MODULES = {"quirks": "generic_start"}
RECIPE = {
    "accumulate": "gradient_accumulation_steps",
    "full_rate": "lr_full",
    "update_rate": "lr_adapter",
    "retune_rate": "lr_retune",
    "schedule": "lr_scheduler_type",
    "clip": "max_grad_norm",
    "update_dropout": "adapter_dropout",
}
STAGES = {  # class -> old key -> new key
    "Tune": {"what": "parameters"},
    "GradualPrune": {"what": "parameters"},
    "SparseEntries": {"kept": "num_entries", "where": "placement"},
    "PruneWeights": {"within": "scope", "mask_update": "mask_adapter"},
    "Narrow": {"over": "scope"},
}
COUNTS = (  # of a cost: what it counts
    ("the update's", "the adapter's"),
    ("backbone, update and head", "backbone, adapter and head"),
    ("the update merged", "the adapter merged"),
    (": dense, update ", ": dense, adapter "),
)
FACTS = {"entries_per_site": "num_entries", "where": "placement"}
WORDS = (  # of a command
    *((rf"\btrain\.{old}=", f"train.{new}=") for old, new in RECIPE.items()),
    (r"\btrain\.checkpoint=best\b", "train.select_on=dev"),
    (r"\btrain\.checkpoint=", "train.select_on="),
    (r"\bsparse\.kept=", "sparse.num_entries="),
    (r"\bsparse\.where=", "sparse.placement="),
    (r"\bwithin=", "scope="),
    (r"\bnarrow\.over=", "narrow.scope="),
    (r"\bmask_update=", "mask_adapter="),
    (r"\bwhat=update\b", "parameters=adapter"),
    (r"\.what=", ".parameters="),
    (r"\bexport_update=", "export_adapter="),
)


def migrate(results_dir: Path) -> Iterator[tuple[str, str]]:
    """Carry over every record of schema 1 under `results_dir`; yield the old and the new run id of each.

    The new record is written before the old one is removed, so an interrupted migration goes on when it is started
    again.
    """
    for path in record.paths(results_dir):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}; delete it, and give the same command again") from error
        if not isinstance(content, dict) or content.get("schema") != 1:
            continue
        new = schema_2(content)
        target = record.path_of(new["run_id"], results_dir)
        text = json.dumps(new, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if target != path and target.exists() and target.read_text(encoding="utf-8") != text:
            raise ValueError(f"{path} would replace {target}, which is another record; move one of them away")
        write_atomically(target, text)
        record.read(target)
        work = results_dir / "work"
        if (work / content["run_id"]).is_dir() and not (work / new["run_id"]).exists():
            os.rename(work / content["run_id"], work / new["run_id"])
        if target != path:
            path.unlink()
        yield content["run_id"], new["run_id"]


def schema_2(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a record of schema 1 as one of schema 2."""
    config = {**old["config"]}
    if "train" in config:
        config["train"] = _recipe(config["train"])
    for group in ("backbone", "task"):
        if group in config:
            config[group] = _with_target(config[group])
    if "stages" in config.get("method", {}):
        stages = {name: _stage(stage) for name, stage in config["method"]["stages"].items()}
        config["method"] = {**config["method"], "stages": stages}
    new = {**old, "schema": 2, "status": STATUS.get(old["status"], old["status"]), "config": config}
    new["stages"] = [{**stage, "facts": _renamed(stage["facts"], FACTS)} for stage in old["stages"]]
    new["costs"] = [{**cost, "counts": _reworded(cost["counts"], COUNTS)} for cost in old["costs"]]
    if "command" in old["made_by"]:
        new["made_by"] = {**old["made_by"], "command": _command(old["made_by"]["command"])}
    if old.get("recipe"):
        new["recipe"] = {**old["recipe"], "changed": _recipe(old["recipe"]["changed"])}
    return {**new, "run_id": run_id(config) if "seed" in config else old["run_id"]}


def _recipe(old: Mapping[str, Any]) -> dict[str, Any]:
    new = _renamed(old, RECIPE)
    if "warmup" in new:
        warmup = new.pop("warmup")
        new |= {"warmup_ratio": warmup} if warmup < 1 else {"warmup_ratio": 0.0, "warmup_steps": int(warmup)}
    if "checkpoint" in new:
        new["select_on"] = "last" if new.pop("checkpoint") == "last" else "dev"
    if "eval_every" in new:
        steps = new.pop("eval_every")
        new |= {"eval_strategy": "epoch"} if steps == "epoch" else {"eval_strategy": "steps", "eval_steps": steps}
    return new


def _stage(old: Mapping[str, Any]) -> dict[str, Any]:
    cls = old["_target_"].rpartition(".")[2]
    new = _renamed(_with_target(old), STAGES.get(cls, {}))
    if new.get("parameters") == "update":
        new["parameters"] = "adapter"
    if cls == "PruneWeights":
        new["scope"] = "model" if new.get("scope") in (None, "all") else new["scope"]
    if "prune" in new:
        new["prune"] = _stage(new["prune"])
    return new


def _with_target(old: Mapping[str, Any]) -> dict[str, Any]:
    package, *parts = old["_target_"].split(".")
    parts[0] = MODULES.get(parts[0], parts[0])
    if parts[0] == "stages":
        parts[1] = STAGE_MODULES.get(parts[1], parts[1])
    return {**old, "_target_": ".".join([package, *parts])}


def _renamed(old: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in old.items()}


def _reworded(text: str, words: Sequence[tuple[str, str]]) -> str:
    for old, new in words:
        text = text.replace(old, new)
    return text


def _command(old: str) -> str:
    for pattern, new in WORDS:
        old = re.sub(pattern, new, old)
    return old
