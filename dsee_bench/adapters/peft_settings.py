"""The settings that a PEFT method takes, read off PEFT's source: importing PEFT would load torch.

Names and simple types come from PEFT's configuration classes, the ranges are ours.
"""

import ast
import dataclasses
import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from dsee_bench.config.limits import Count, Limits, NotNegative, Positive, Seed, Share

RANGES: dict[str, Any] = {
    "r": Count,
    "init_r": Count,
    "target_r": Count,
    "lora_alpha": Positive,
    "lora_dropout": Share,
    "vera_dropout": Share,
    "sparsity": Share,
    "orth_reg_weight": NotNegative,
    "random_seed": Seed,
    "projection_prng_key": Seed,
}
TYPES: dict[str, Any] = {"int": Annotated[int, Limits()], "float": Annotated[float, Limits()], "bool": bool}


@functools.cache
def settings_class(method: str) -> type:
    """A dataclass with PEFT's settings of `method`, as "LORA"; none of them is required."""
    fields = {
        name: (name, RANGES.get(name, TYPES.get(kind, Any)) | None, dataclasses.field(default=None))
        for name, kind in _declared(method)
    }
    return dataclasses.make_dataclass(method, fields.values())


def _declared(method: str) -> Iterator[tuple[str, str]]:
    """Every field of PEFT's configuration and of those it extends, with its annotation but for Optional."""
    spec = find_spec("peft")
    assert spec is not None
    own = Path("config.py") if method == "PEFT" else Path("tuners", method.lower(), "config.py")
    tree = ast.parse((Path(str(spec.origin)).parent / own).read_text(encoding="utf-8"))
    classes = {node.name.lower(): node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = classes[f"{method}config".lower()]
    for base in found.bases:
        name = ast.unparse(base)
        if name.endswith("Config"):
            yield from _declared(name.removesuffix("Config").upper())
    for line in found.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id, ast.unparse(line.annotation).removeprefix("Optional[").removesuffix("]")
