"""What the settings of a task leave open, filled in before a run has its id: classes, dev, commit, metrics."""

import copy
import functools
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dsee_bench import config
from dsee_bench.config import ConfigError, validate
from dsee_bench.system.shell import shell_path

if TYPE_CHECKING:
    from omegaconf import DictConfig

TARGET = "dsee_bench.tasks.table.Table"  # its module is imported for a table alone


def filled(composed: "DictConfig") -> "DictConfig":
    """Return the composition with all that is left open in the settings of a table task; others stay as they are."""
    if composed.get("task", {}).get(validate.TARGET) != TARGET:
        return composed
    node, data_dir = config.resolve(composed.task), composed.get("data_dir")
    composed = copy.deepcopy(composed)
    composed._set_flag("struct", False)
    try:
        composed.task = _settings(json.dumps(node), data_dir if isinstance(data_dir, str) else None)
    except (ValueError, OSError) as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"task: {error}") from error
    return composed


@functools.lru_cache
def _settings(node: str, data_dir: str | None) -> dict[str, Any]:
    """Return the settings of the task, complete; many cells of a sweep have the same."""
    table = validate.build(json.loads(node), "task")
    complete = table.completed(None if data_dir is None else shell_path(data_dir, "data_dir"))
    return {validate.TARGET: TARGET, **json.loads(json.dumps(asdict(complete)))}
