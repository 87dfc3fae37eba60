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

BASES = {"config.py": ("PeftConfig",), "tuners/lora/config.py": ("LoraConfig",)}  # AdaLoRA's extends LoRA's
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
    """Every field of PEFT's configuration, with its annotation but for Optional."""
    spec = find_spec("peft")
    assert spec is not None
    folder = Path(str(spec.origin)).parent
    own = f"tuners/{method.lower()}/config.py"
    files = {"config.py", own} | ({"tuners/lora/config.py"} if method == "ADALORA" else set())
    for file in sorted(files):
        wanted = (f"{method}config".lower(), *(name.lower() for name in BASES.get(file, ())))
        for node in ast.parse((folder / file).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.lower() in wanted:
                for line in node.body:
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                        yield line.target.id, ast.unparse(line.annotation).removeprefix("Optional[").removesuffix("]")
