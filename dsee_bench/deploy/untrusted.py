"""Reading of an exported folder that a stranger may have written: files must be small, of the right types, and ask for
no more than the weights that come with them. Everything else is a ValueError, before anything is built.

The manifest's checksums show damage only: whoever writes a folder can write them too.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from dsee_bench.deploy.own_config import model_type
from dsee_bench.models.families import families
from dsee_bench.models.spec import Dtype
from dsee_bench.system.files import kind

LARGEST_JSON = 64 * 2**20  # bytes; a manifest has some kB, a configuration with many labels some MB
LARGEST_NUMBER = 2**31  # sizes, token numbers and seeds are below
MOST_LAYERS = 1000
MOST_ZEROS = 1000  # entries of a whole model in a byte; its embeddings are never compressed
CODE = ("auto_map", "quantization_config", "attn_implementation", "_attn_implementation", "experts_implementation",
        "num_labels", "per_layer_config")  # fmt: skip  # they choose code, or sizes in another way
# Sizes that DeBERTa v2's code reads although its configuration class does not list them.
UNLISTED = ("position_buckets", "share_att_key", "norm_rel_ebd", "attention_head_size", "embedding_size",
            "conv_kernel_size", "conv_groups", "conv_act")  # fmt: skip
ADAPTERS = ("LORA", "ADALORA", "IA3", "VERA", "SHIRA", "SUPERTUNING", "DSEE")  # the first word of peft_type
IGNORED = ("base_model_name_or_path", "revision", "peft_version")  # of an adapter's configuration: not used here
FREE_NUMBERS = ("seed", "random_seed", "projection_prng_key", "tinit", "tfinal", "deltaT", "total_step", "row_blocks",
                "lora_alpha")  # fmt: skip  # they make nothing larger
DTYPES = {"F32": "float32", "I64": "int64", "I32": "int32", "I16": "int16", "U8": "uint8", "BOOL": "bool",
          "F16": "float16", "BF16": "bfloat16", "F64": "float64"}  # fmt: skip


@contextmanager
def refused(path: Path, way_out: str = "export the model again") -> Iterator[None]:
    """Turn every error inside into a ValueError that names `path`: libraries raise anything on forged files."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):  # it names the path already
            raise
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ValueError(f"{path} cannot be used: {type(error).__name__}: {reason:.200}; {way_out}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError for anything else, and for numbers that are not finite."""
    if kind(path) != "a file" or path.stat().st_size > LARGEST_JSON:
        raise ValueError(f"{path} is no file of at most {LARGEST_JSON // 2**20} MiB; export the model again")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_not_finite)
        json.dumps(content, ensure_ascii=False).encode()  # refuses deep nesting, and half a character
        check_numbers(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}; export the model again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object; export the model again")
    return content


def _not_finite(text: str) -> None:
    raise ValueError(f"the number {text}")


def check_numbers(value: object) -> None:
    """Raise ValueError for a number in nested content that is not finite, or too large for a size."""
    if isinstance(value, int | float) and not abs(value) <= 1e38:  # true of NaN, too
        raise ValueError("a number that no setting has")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        check_numbers(inner)


def header(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of each tensor of a safetensors file, which safetensors compares with the file's size."""
    from safetensors import safe_open

    with refused(path, "copy it again"), safe_open(path, framework="pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        return {name: (tuple(part.get_shape()), DTYPES.get(part.get_dtype(), "")) for name, part in slices.items()}


def config_of(folder: Path, tensors: int) -> Any:
    """Return transformers' configuration of a folder whose weights are so many tensors.

    Keys that its class does not know are left out; those that would choose code are refused.
    """
    from transformers import CONFIG_MAPPING

    path = folder / "config.json"
    content = read_json(path)
    family = model_type(content)
    if not isinstance(family, str) or family not in families():
        raise ValueError(f"{path} has model_type {family!r:.40}; the families are {', '.join(families())}")
    odd = [name for name in CODE if content.get(name) is not None]
    if odd:
        raise ValueError(f"{path} sets {odd[0]}, which no exported model has; export the model again")
    for name in ("dtype", "torch_dtype"):
        if content.get(name) not in (None, *get_args(Dtype)):
            raise ValueError(
                f"{path} sets {name}={content[name]!r:.40}; exported models are in {', '.join(get_args(Dtype))}"
            )
    _check_sizes(content, tensors, path)
    with refused(path):
        cls = CONFIG_MAPPING[family]
        known = {*cls().to_dict(), *UNLISTED} - {"model_type"}
        return cls.from_dict({name: value for name, value in content.items() if name in known})


def _check_sizes(content: Mapping[str, Any], tensors: int, path: Path) -> None:
    for name, value in content.items():
        if isinstance(value, int) and abs(value) > LARGEST_NUMBER:
            raise ValueError(f"{path} sets {name} to a number of {len(str(value))} digits; export the model again")
    for name in {family.names["layers"] for family in families().values()}:
        layers = content.get(name)
        if isinstance(layers, int) and not 0 < layers <= min(tensors, MOST_LAYERS):
            raise ValueError(f"{path} sets {name}={layers}, the weights have {tensors} tensors; export the model again")


def check_memory(entries: int, needed: int, files: Sequence[Path], path: Path) -> None:
    """Raise ValueError where the files are too small for a model of so many entries, even if nearly all are zero, or
    this machine's memory is for the `needed` bytes."""
    if entries > MOST_ZEROS * sum(file.stat().st_size for file in files):
        raise ValueError(f"{path} is too small for the {entries:,} entries that its configuration asks for")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise ValueError(f"{path}: its model takes {needed / 1e9:,.0f} GB, this machine has {memory / 1e9:,.0f} GB")


def adapter_config(path: Path, weights: Path) -> Any:
    """Return PEFT's configuration of an adapter, from the file `path`.

    Names must be plain, as PEFT would run regular expressions over the modules; ranks are no larger than the tensors.
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    import dsee_bench.adapters.dsee  # noqa: F401  # makes the DSEE adapter known to PEFT

    content = read_json(path)
    for name in (*IGNORED, *(name for name in content if name.startswith("megatron"))):
        content.pop(name, None)
    if content.get("auto_mapping") is not None:
        raise ValueError(f"{path} sets auto_mapping, which names code; export the model again")
    peft_type = str(content.pop("peft_type", None)).partition(",")[0]
    if peft_type not in ADAPTERS:
        raise ValueError(f"{path} has peft_type {peft_type!r:.40}; there is {', '.join(ADAPTERS)}")
    for name in ("target_modules", "modules_to_save", "feedforward_modules", "exclude_modules"):
        value = content.get(name) or []
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise ValueError(f"{path}: {name} must be a list of names; export the model again")
    shapes = header(weights)
    _check_plain(content, max((max(shape, default=1) for shape, _ in shapes.values()), default=1), path)
    with refused(path):
        cls = PEFT_TYPE_TO_CONFIG_MAPPING[peft_type]
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in content.items() if name in known})


def _check_plain(value: object, largest: int, path: Path, key: str = "") -> None:
    """Raise ValueError for a text that is no plain name, or a size above `largest`."""
    if isinstance(value, str) and not (len(value) <= 200 and re.fullmatch(r"[\w./ -]*", value)):
        raise ValueError(f"{path}: {value!r:.60} is no name; export the model again")
    if isinstance(value, int) and key not in FREE_NUMBERS and value > max(largest, 1):
        raise ValueError(f"{path} sets {key:.40}={value:.6g}, its largest tensor has {largest} rows or columns")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_plain(name, largest, path)
            _check_plain(inner, largest, path, key or name)
    for inner in value if isinstance(value, list) else ():
        _check_plain(inner, largest, path, key)
