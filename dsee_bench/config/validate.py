"""Turn plain values into typed settings; keys, types and ranges are checked at every level in one way.

A class of settings is a frozen dataclass: its annotations give the types and ranges (`limits`), its `__post_init__`
checks rules for several fields. pydantic does the checking; this module adds the known names, the nearest name and the
way out to its errors. Nothing is imported for a `_target_` outside dsee_bench.
"""

import dataclasses
import functools
import importlib
import math
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dsee_bench.config import ConfigError, nearest, quoted
from dsee_bench.config.limits import LARGEST

T = TypeVar("T")
TARGET = "_target_"

# Where the classes of each kind of settings are, and the method that makes a class one of that kind.
HOMES = {
    "backbone": ("dsee_bench.models", "spec"),
    "task": ("dsee_bench.tasks", "load"),
    "method": ("dsee_bench.stages", "plan"),
}


def build(node: object, where: str) -> Any:
    """Build the object that `node` describes: its `_target_` names a dataclass, its other keys are the fields.

    `where` begins with "backbone", "task" or "method", as "method.stages.<name>". Raises ConfigError naming `where`.key
    for a key, a type or a value that the class does not take.
    """
    if not isinstance(node, Mapping) or TARGET not in node:
        raise ConfigError(
            f"{where}={shown(node)} must be settings with a {TARGET}, as in conf/; leave it out by ~{where}"
        )
    cls = class_of(node[TARGET], where)
    return typed(cls, {key: value for key, value in node.items() if key != TARGET}, where)


def class_of(target: object, where: str) -> Any:
    """Return the class of settings that a `_target_` at `where` names; ConfigError if it may not stand there."""
    home, method = HOMES[re.split("[.=]", where)[0]]
    rule = f"{where}.{TARGET}={shown(target)} must name a class of settings in {home}, as the files in conf/ do"
    if not isinstance(target, str) or re.fullmatch(rf"{re.escape(home)}(\.[A-Za-z_]\w*)+", target) is None:
        raise ConfigError(rule)
    path, _, name = target.rpartition(".")
    try:
        cls = getattr(importlib.import_module(path), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{rule}: {error}") from error
    own = isinstance(cls, type) and cls.__module__.startswith(home + ".") and dataclasses.is_dataclass(cls)
    if not own or not hasattr(cls, method):
        raise ConfigError(rule)
    return cls


def typed(cls: type[T], values: object, where: str) -> T:
    """Return an instance of the dataclass `cls` from plain values, checked by its annotations."""
    from pydantic import ValidationError

    kind: Any = cls
    if not isinstance(values, Mapping):
        names = ", ".join(_names(cls))
        raise ConfigError(f"{where}={shown(values)} must be a group of settings; its keys are: {names}")
    check_keys(cls, values, where)
    try:
        checked: T = _adapter(kind).validate_python(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from error
    return checked


@functools.cache
def _adapter(cls: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _is_settings(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _names(cls: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init]


def check_keys(kind: Any, value: object, where: str) -> None:
    """Raise ConfigError for a key, at any depth of `value`, that the annotation `kind` has no field for."""
    parts = get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        for part in parts:
            check_keys(part, value, where)
    elif isinstance(value, Mapping) and _is_settings(kind):
        names = _names(kind)
        own = f"{kind.__module__}.{kind.__qualname__}"
        for key, inner in value.items():
            if key == TARGET and inner == own:
                continue  # a file of conf/stage/ that stands inside another
            if key not in names:
                what = f"key of {where}" if where else "key or group"
                raise ConfigError(f"{key!r} is no {what}{nearest(str(key), names)} There are: {', '.join(names)}")
            check_keys(_hints(kind)[key], inner, f"{where}.{key}" if where else key)
    elif isinstance(value, Mapping) and parts:
        for key, inner in value.items():
            check_keys(parts[-1], inner, f"{where}.{key}")
    elif isinstance(value, list | tuple) and parts:
        for at, inner in enumerate(value):
            check_keys(parts[0], inner, f"{where}.{at}")


def _explain(error: Any, where: str) -> str:  # pydantic's ValidationError
    errors = error.errors()
    first = errors[0]
    parts = [where, *(str(part) for part in first["loc"] if "-" not in str(part) and "[" not in str(part))]
    place = ".".join(part for part in parts if part)
    if first["type"] == "value_error":
        return f"{place or 'settings'}: {first['ctx']['error']}"
    if first["type"] == "missing":
        if isinstance(first["loc"][-1], int):
            return f"{place.rpartition('.')[0]} has too few values: the one at {first['loc'][-1]} is missing"
        if where.endswith(".yaml"):
            return f"{where} has no {place.removeprefix(where + '.')}, which every file of its kind needs"
        return f"{place} is missing, and a run needs it; give {place}=VALUE, or leave out ~{place}"
    value = first["input"]
    # A value that may be of several types has an error for each of them, under the same place but for its end.
    lengths = {len(first["loc"]), len(first["loc"]) - 1}
    same = [each for each in errors if each["input"] is value and len(each["loc"]) in lengths]
    for each in same:
        if each["type"] == "limits":
            return f"{place} {each['msg']}, got {shown(value)}{each['ctx']['hint']}"
    messages = dict.fromkeys(_plain(each["msg"]) for each in same)
    rule = " or ".join(msg if at == 0 else msg.removeprefix("Input should be ") for at, msg in enumerate(messages))
    return f"{place}={shown(value)}: {rule[0].lower()}{rule[1:]}{_as_text(first, place)}"


def _plain(message: str) -> str:
    """Return pydantic's message without Python's names of types."""
    message = re.sub(r"a (valid )?dictionary( or an instance of \w+)?", "a group of settings, as in conf/", message)
    return re.sub(r" for <class .*>", "", message)


def _as_text(error: Any, place: str) -> str:
    """Return how to type a value as a text, where a text is required and Hydra read another type."""
    value = error["input"]
    if error["type"] not in ("string_type", "path_type") or value is None or isinstance(value, Mapping):
        return ""
    text = f"[{','.join(map(shown, value))}]" if isinstance(value, list) else shown(value)
    return f"; to give it as a text type {quoted(place, text)}"


# --- what any configuration may hold ----------------------------------------------------------------------------------


def leaves(content: object) -> Iterator[tuple[str, object]]:
    """Yield every single value in nested dicts and lists, with its dotted key."""
    waiting: list[tuple[str, object]] = [("", content)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, Mapping | list | tuple):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(f"{place}.{key}" if place else str(key), inner) for key, inner in items]
        else:
            yield place, value


def check_targets(content: object) -> None:
    """Raise ConfigError for a `_target_`, at any depth, that is not in dsee_bench."""
    for place, value in leaves(content):
        if place.rpartition(".")[2] == TARGET and re.fullmatch(r"dsee_bench(\.\w+)+", str(value)) is None:
            raise ConfigError(f"{place}={shown(value)} must name a class of dsee_bench; nothing else is imported")


def check_numbers(content: object) -> None:
    """Raise ConfigError for a number that no record can hold: NaN, infinity, or one beyond 32 bits."""
    for place, value in leaves(content):
        if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= LARGEST):
            raise ConfigError(f"{place} must be finite and at most {LARGEST} in size, got {shown(value)}")


def shown(value: object) -> str:
    """Return `value` for an error, in at most 80 characters."""
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "an integer of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."
