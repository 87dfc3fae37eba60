"""config.json of a model that `dsee_bench.load` alone can read.

Its `model_type` is a sentence that names the loader, so that from_pretrained prints it where it fails; what the loader
needs stands under the key `dsee_bench`. A narrowed model's configuration writes itself like this wherever it is saved:
`save_pretrained` of a loaded model, and Trainer's checkpoints, load again. transformers' own description of unequal
layers (`per_layer_config`) does not serve: of the families here, no model class reads it (transformers 5.23).
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsee_bench.models.spec import ModelSpec
from dsee_bench.pruning.surgery import head_groups, neurons

KEY = "dsee_bench"


@dataclass(frozen=True)
class Widths:
    """What is left in each layer of a narrowed model."""

    heads: tuple[int, ...]  # head groups: key heads, where several query heads share one
    neurons: tuple[int, ...]
    columns: tuple[tuple[int, ...], ...] = ()  # of a table of position biases, by layer; MPNet alone has one


def widths_of(spec: ModelSpec) -> Widths:
    """Return the widths of a narrowed model's layers."""
    return Widths(tuple(head_groups(spec)), tuple(neurons(spec)), spec.head_columns)


def model_type(content: Mapping[str, Any]) -> object:
    """Return the family that the content of a config.json names."""
    own = content.get(KEY)
    return own.get("model_type") if isinstance(own, dict) else content.get("model_type")


def read_widths(content: Mapping[str, Any]) -> Widths | None:
    """Return the widths in the content of a config.json; None where it has none, ValueError where they cannot be."""
    own = content.get(KEY)
    if not isinstance(own, dict) or "heads" not in own:
        return None
    heads: Any = own["heads"]
    ffn: Any = own.get("neurons")
    columns: Any = own.get("columns", [])
    if not (_counts(heads) and _counts(ffn) and isinstance(columns, list) and all(map(_counts, columns))):
        raise ValueError(f"{KEY} must hold the heads and neurons of each layer, as whole numbers; save the model again")
    return Widths(tuple(heads), tuple(ffn), tuple(map(tuple, columns)))


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(type(count) is int and count >= 0 for count in value)


def mark(config: Any, widths: Widths | None) -> None:
    """Let a transformers configuration name `dsee_bench.load` in each config.json that it is written to, in place."""
    own: dict[str, Any] = {"model_type": config.model_type}
    if widths is not None:
        own |= {"heads": list(widths.heads), "neurons": list(widths.neurons)}
        own |= {"columns": [list(columns) for columns in widths.columns]} if widths.columns else {}
    setattr(config, KEY, own)
    cls: Any = type(config)
    config.__class__ = _marked(cls)


class _Marked:
    """Mixed into a configuration class: what is written names the loader, all else is as before."""

    def to_json_string(self, *args: Any, **kwargs: Any) -> str:
        content = json.loads(super().to_json_string(*args, **kwargs))  # type: ignore[misc]
        family = content[KEY]["model_type"]
        content["model_type"] = f"{family} in the form of dsee-bench: load it with dsee_bench.load(folder)"
        return json.dumps(content, indent=2, sort_keys=True) + "\n"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (type(self).__bases__[1],), self.__dict__  # its class is made here, and has no name to import


@functools.cache
def _marked(cls: Any) -> Any:
    return cls if issubclass(cls, _Marked) else type(cls.__name__, (_Marked, cls), {"__module__": cls.__module__})


def _empty(cls: Any) -> Any:
    marked = _marked(cls)
    return marked.__new__(marked)
