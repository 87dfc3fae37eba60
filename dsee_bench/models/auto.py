"""`backbone=auto`: any checkpoint of a known family, with its numbers from its own config.json."""

import copy
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsee_bench import config
from dsee_bench.config import ConfigError, validate, variants
from dsee_bench.hub import HubFiles, get
from dsee_bench.models.backbone import Backbone
from dsee_bench.models.families import families
from dsee_bench.models.load import check_numbers, read_config, weight_names
from dsee_bench.models.spec import Dtype
from dsee_bench.system.errors import as_mistake, shown
from dsee_bench.system.shell import shell_path
from dsee_bench.tasks.completion import filled

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Auto:
    """Where the checkpoint is: `hub`, at a branch or commit, or the folder `path`."""

    name: str | None  # in tables and run ids; None: the name of the repository or folder
    hub: str | None
    revision: str | None
    path: str | None
    new_pooler: bool | None = None  # None: true where a folder's weights lack the pooler of its family
    dtype: Dtype | None = None  # of the weights that do not train


def resolve(composed: "DictConfig") -> dict[str, Any]:
    """Return the plain values of a composed configuration, with what `backbone=auto` and an open task stand for.

    They come first, because recipes and methods refer to them. So does a task's variant.
    """
    composed = filled(variants.chosen(composed))
    target = composed.get("backbone", {}).get(validate.TARGET)
    if target == f"{__name__}.{Auto.__name__}":
        node = config.resolve(composed.backbone)
        auto = validate.typed(Auto, {key: value for key, value in node.items() if key != validate.TARGET}, "backbone")
        composed = copy.deepcopy(composed)
        composed._set_flag("struct", False)
        try:
            composed.backbone = settings(auto)
        except (ValueError, OSError) as error:
            raise ConfigError(f"backbone=auto: {error}") from error
    return config.resolve(composed)


@functools.cache
def settings(auto: Auto) -> dict[str, object]:
    """Return the checkpoint's settings as a file of conf/backbone states them; a branch becomes its commit."""
    if (auto.hub is None) == (auto.path is None):
        raise ValueError("give one of backbone.hub=OWNER/NAME and backbone.path=DIR")
    folder = _folder(auto)
    content = read_config(folder)
    family = _family(content, folder / "config.json")
    commit = folder.name if re.fullmatch("[0-9a-f]{40}", folder.name) else auto.revision
    found = {
        "name": auto.name or (auto.hub or folder.resolve().name).rstrip("/").rpartition("/")[2],
        "model_type": content["model_type"],
        "hub": auto.hub,
        "revision": None if auto.hub is None else commit,
        "package": None,
        "path": auto.path,
        "random": False,
        "dtype": auto.dtype,
        **_numbers(family, content, folder / "config.json"),
    }
    if auto.new_pooler is not None:
        found["new_pooler"] = auto.new_pooler
    typed = validate.typed(family, found, "backbone")
    check_numbers(typed, folder, "the table of paths does not hold for it; choose another checkpoint")
    if auto.new_pooler is None and auto.path is not None and _lacks_pooler(typed, folder):
        found["new_pooler"] = True
    return {validate.TARGET: f"{family.__module__}.{family.__name__}", **found}


def _family(content: Mapping[str, Any], path: Path) -> type[Backbone]:
    """Return the table of the checkpoint's model type; ValueError for one that is not known, or is quantized."""
    name = content.get("model_type")
    family = families().get(str(name))
    if family is None:
        known = f"choose a checkpoint of {', '.join(sorted(families()))}, or add a file to dsee_bench/models/families"
        if name is None:
            raise ValueError(f"{path} has no model_type; add its family's, as {json.dumps('bert')}, or {known}")
        kind = " of an encoder-decoder" if content.get("is_encoder_decoder") else ""
        raise ValueError(f"{path} has model_type {shown(name)}{kind}, and there is no table of paths for it; {known}")
    if content.get("quantization_config") is not None:
        raise ValueError(
            f"{path} has a quantization_config: its weights are no plain numbers, which stages need; choose the "
            "checkpoint before quantization"
        )
    return family


def _numbers(family: type[Backbone], content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the numbers in config.json, with transformers' own for what it leaves out."""
    from transformers import CONFIG_MAPPING

    with as_mistake((Exception,), f"{path} cannot be read as {content['model_type']}: "):
        return family.numbers(CONFIG_MAPPING[content["model_type"]].from_dict(dict(content)))


def _folder(auto: Auto) -> Path:
    """Return a folder that holds the checkpoint's config.json; nothing else is fetched."""
    if auto.path is not None:
        return shell_path(auto.path, "backbone.path")
    local = "backbone.path=DIR with a folder that from_pretrained reads"
    return get(HubFiles(str(auto.hub), "model", auto.revision or "main", ("config.json",), local))


def _lacks_pooler(backbone: Backbone, folder: Path) -> bool:
    """Whether the folder's weights, where their names can be read, have no pooler though the family has one."""
    if backbone.pooler is None:
        return False
    names = weight_names(folder)
    pooler = backbone.pooler.partition(".")[2]  # without the task model's prefix, which a bare encoder's names lack
    return bool(names) and not any(name.endswith(f"{pooler}.weight") for name in names)
