"""From conf/ and the command line to typed settings, before anything heavy is imported.

Three checks, each with the list of what there is and the nearest name: `check_overrides` (does the option or key
exist), `build` (does the value have the type that the class named by `_target_` asks for), and the `__post_init__` of
that class (is the value possible).
"""

import contextlib
import dataclasses
import difflib
import functools
import hashlib
import importlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from omegaconf import OmegaConf

from dsee_bench.system.files import LONGEST_NAME, plain
from dsee_bench.system.mistake import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from pydantic import TypeAdapter

_PACKAGE = Path(__file__).resolve().parent
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
T = TypeVar("T")
GROUPS = ("backbone", "task", "method", "train", "experiment")  # what a run is composed of

# Settings that change no result: where things lie, what is printed, how a run is launched.
NOT_IDENTITY = (
    "data_dir",
    "results_dir",
    "force",
    "plan",
    "threads",
    "save_every",
    "device",
    "export",
    "export_update",
    "export_storage",
    "export_onnx",
    "measure",
    "quiet",
    "tracking",
)


def _times(factor: float, value: object) -> object:
    """`${times:10,${train.update_rate}}` in a YAML file: the rate of a method whose steps are not of an update's size.
    What is no number is handed on, for the types to refuse."""
    return factor * value if isinstance(value, int | float) else value


OmegaConf.register_new_resolver("times", _times, replace=True)


class ConfigError(UserError):
    """A setting that cannot be: the message names it, its value, the rule and the way out."""


def default_results_dir() -> Path:
    """The project's results/ in a checkout, ./results elsewhere."""
    project = _PACKAGE.parent
    return project / "results" if (project / "pyproject.toml").is_file() else Path("results").resolve()


@dataclass(frozen=True)
class Recipe:
    """How a tuning stage trains; science: the LoRA and DSEE recipes. Rates by what is tuned, epochs by stage."""

    name: str
    batch_size: int  # rows a step, over all accumulated parts
    accumulate: int  # parts a batch is split into, to save memory
    full_rate: float  # learning rate where all weights are tuned
    update_rate: float  # learning rate where only an update and the head are
    epochs: float
    retune_epochs: float
    max_length: int  # tokens; longer inputs are cut
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup: float  # a share of all steps below 1, a number of steps from 1 on
    weight_decay: float
    clip: float | None  # largest gradient norm; None: no clipping
    betas: tuple[float, float]
    eps: float
    precision: Literal["auto", "fp32", "bf16"]
    eval_every: Literal["epoch"] | int  # or a number of steps
    checkpoint: Literal["best", "last"]  # which weights a stage hands on: best on dev, or the last
    max_rows: int | None  # train on the first rows only; None: all
    dev_rows: int | None = None  # while training, measure on the first rows of dev only; None: all
    label_smoothing: float | None = None  # share of the target spread over all classes or tokens
    update_dropout: float | None = None  # on the input of an update; the methods with one read it

    def __post_init__(self) -> None:
        at_least_one = {"batch_size": self.batch_size, "accumulate": self.accumulate, "max_length": self.max_length}
        for name, value in at_least_one.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        for name in ("full_rate", "update_rate", "epochs", "retune_epochs", "eps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.warmup < 0 or self.weight_decay < 0:
            raise ValueError(f"warmup and weight_decay must not be negative, got {self.warmup} and {self.weight_decay}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of accumulate {self.accumulate}")
        if self.clip is not None and self.clip <= 0:
            raise ValueError(f"clip must be above 0, got {self.clip}; clip=null switches it off")
        if self.eval_every != "epoch" and self.eval_every < 1:
            raise ValueError(f"eval_every must be epoch or a number of steps from 1 on, got {self.eval_every}")
        for name in ("label_smoothing", "update_dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("max_rows", "dev_rows"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}; {name}=null takes all rows")

    def rows_used(self, rows: int) -> int:
        return rows if self.max_rows is None else min(rows, self.max_rows)

    def steps(self, rows: int, epochs: float) -> int:
        """Optimizer steps of a tuning over `rows` training rows, as transformers' Trainer counts them."""
        return math.ceil(epochs * math.ceil(self.rows_used(rows) / self.batch_size))


# --- names ------------------------------------------------------------------------------------------------------------


def nearest(name: str, among: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: "; did you mean 'x'?", or a full stop where no name is near."""
    found = difflib.get_close_matches(name, list(among), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else "."


def options(group: str) -> list[str]:
    """The options of a group: the YAML files under conf/<group>/, `peft/ia3` for nested ones."""
    folder = CONF / group
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))


def check_overrides(overrides: Sequence[str]) -> None:
    """ConfigError for an unknown option or key among command-line overrides. Hydra's own settings are left to Hydra."""
    parsed = [parse(override) for override in overrides]
    choices: dict[str, str] = {}
    keys: list[str] = []
    for override in parsed:
        name = override.key_or_group
        if name.startswith("hydra") or override.is_add() or override.is_force_add() or override.is_delete():
            continue
        if name in GROUPS:
            values = _values(override)
            for value in values:
                if (name, value) != ("experiment", "None"):
                    _known(value, options(name), f"option of {name}")
            choices[name] = values[0]
        else:
            keys.append(name)
    config = compose([f"{group}={choice}" for group, choice in choices.items()])
    for key in keys:
        _check_key(config, key)


@functools.cache
def parse(override: str) -> Any:  # hydra's Override
    """One word of the command line as Hydra reads it; ConfigError for one that it cannot read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{override!r} cannot be read: {reason}; write key=value, with quotes round spaces"
        ) from error


def _values(override: Any) -> list[str]:  # hydra's Override
    if override.is_sweep_override():
        return [str(item) for item in override.sweep_string_iterator()]
    return [str(override.value())]


def _known(name: str, among: Sequence[str], what: str) -> None:
    if name not in among:
        raise ConfigError(f"{name!r} is no {what}{nearest(name, among)} There are: {', '.join(among)}")


def _check_key(config: "DictConfig", key: str) -> None:
    """ConfigError naming the first part of a dotted key that is not there, and what is."""
    node: Any = config
    walked: list[str] = []
    for part in key.split("."):
        if not hasattr(node, "keys"):
            raise ConfigError(f"{'.'.join(walked)} is a single value; it has no {part!r} below it")
        names = [str(name) for name in node if not str(name).startswith("_")]
        if part not in names and part not in node:
            place = f"key of {'.'.join(walked)}" if walked else "key or group"
            has = f"There are: {', '.join(names)}." if names else "There are none."
            # What a file does not name may still be known to the class that it names, or belong to PEFT.
            add = f" One that no file has is given as +{key}=VALUE." if walked else ""
            raise ConfigError(f"{part!r} is no {place}{nearest(part, names)} {has}{add}")
        walked.append(part)
        node = node._get_node(part)


def compose(overrides: Sequence[str] = (), *, hydra_too: bool = False) -> "DictConfig":
    """conf/config.yaml with these overrides, as Hydra composes it; ConfigError for what it does not know. With
    `hydra_too` Hydra's own settings stand under `hydra`."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    within = GlobalHydra.instance().is_initialized()  # in a sweep's own process, which has conf/ at hand
    try:
        with contextlib.nullcontext() if within else initialize_config_dir(str(CONF), version_base="1.3"):
            return hydra_compose("config", overrides=list(overrides), return_hydra_config=hydra_too)
    except (HydraException, ValueError) as error:  # ValueError: of a group that is null
        check_overrides(overrides)  # raises with the names that Hydra's own message lacks
        raise ConfigError(str(error)) from error


# --- types ------------------------------------------------------------------------------------------------------------


def build(node: Mapping[str, Any], where: str) -> Any:
    """The object that `node` describes: its `_target_` names a dataclass, its other keys are the fields.

    Raises ConfigError naming `where`.key for a key, a type or a value that the class does not take.
    """
    path, _, name = str(node["_target_"]).rpartition(".")
    try:
        cls = getattr(importlib.import_module(path), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}._target_={node['_target_']} cannot be imported: {error}") from error
    return typed(cls, {key: value for key, value in node.items() if key != "_target_"}, where)


@functools.cache
def _adapter(cls: type[T]) -> "TypeAdapter[T]":
    """Pydantic's validator of a class; making one costs 10 ms."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def typed(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls` from plain values, checked by its annotations."""
    from pydantic import ValidationError

    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in names:
            raise ConfigError(f"{key!r} is no key of {where}{nearest(key, names)} There are: {', '.join(names)}")
    try:
        return _adapter(cls).validate_python(dict(values))  # type: ignore[arg-type]  # a class is hashable
    except ValidationError as error:
        raise ConfigError(_explain(error, where)) from error


def _explain(error: Any, where: str) -> str:  # pydantic's ValidationError
    first = error.errors()[0]
    place = ".".join([where, *(str(part) for part in first["loc"] if "-" not in str(part) and "[" not in str(part))])
    if first["type"] == "value_error":
        return f"{place}: {first['ctx']['error']}"
    if first["type"] == "missing":
        return f"{place} is missing"
    # A value that may be of several types has an error for each of them, under the same place but for its end.
    lengths = {len(first["loc"]), len(first["loc"]) - 1}
    same = [each["msg"] for each in error.errors() if each["input"] is first["input"] and len(each["loc"]) in lengths]
    said = " or ".join(
        msg if at == 0 else msg.removeprefix("Input should be ") for at, msg in enumerate(dict.fromkeys(same))
    )
    return f"{place}={first['input']}: {said[0].lower()}{said[1:]}"


# --- identity ---------------------------------------------------------------------------------------------------------


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved settings that change a result; paths, logging and launch settings are left out."""
    return {key: value for key, value in config.items() if key not in NOT_IDENTITY}


def digest(content: object) -> str:
    """Eight hex digits over plain content, the same whatever the order of its keys and whatever is None in it.

    None means "not set", so a new optional setting leaves the identity of earlier runs as it was.
    """
    content = _without_none(content)
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _without_none(content: object) -> object:
    if isinstance(content, Mapping):
        return {key: _without_none(value) for key, value in content.items() if value is not None}
    if isinstance(content, list | tuple):
        return [_without_none(value) for value in content]
    return content


def run_id(config: Mapping[str, Any]) -> str:
    """Readable names, the seed, and a hash of all settings that change a result: `rte-minilm-dsee-s0-1a2b3c4d`.
    It is the name of files: names are cut to plain characters, and so that 100 are not exceeded."""
    names = [str(config[group]["name"]) for group in ("task", "backbone", "method")]
    end = f"-s{config['seed']}-{digest(identity(config))}"
    return f"{plain('-'.join(names))[: LONGEST_NAME - len(end)]}{end}"
