"""Compose conf/ and the command line into plain settings, check their names, and derive a run's identity.

`check_overrides` refuses an unknown option or key of the command line, with the names that exist and the nearest one;
`validate` does the same for files and `+key=value`, and checks types and ranges. Nothing heavy is imported.
"""

import contextlib
import difflib
import functools
import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dsee_bench.config import recipes
from dsee_bench.config.launch import Launch
from dsee_bench.system.errors import UserError
from dsee_bench.system.files import LONGEST_NAME, plain

if TYPE_CHECKING:
    from omegaconf import DictConfig

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"
FOLDERS = [CONF]  # where options lie: conf/, and the folder of --config-dir
GROUPS = ("backbone", "task", "method", "train", "experiment")  # what a run is composed of


def _times(factor: float, value: object) -> object:
    """Resolve `${times:10,${train.lr_adapter}}`, the learning rate of a method that needs larger or smaller steps.

    A value that is not a number is passed on, and the types refuse it.
    """
    return factor * value if isinstance(value, int | float) else value


OmegaConf.register_new_resolver("times", _times, replace=True)
recipes.register(CONF)


class ConfigError(UserError):
    """A wrong setting: the message names it, its value, the rule and the way out."""


# --- names ------------------------------------------------------------------------------------------------------------


def nearest(name: str, among: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: "; did you mean 'x'?", or "." where no name is near."""
    close = difflib.get_close_matches(name, list(among), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else "."


def options(group: str) -> list[str]:
    """Return the options of a group: the YAML files under conf/<group>/, `peft/ia3` for nested ones."""
    folders = [folder / group for folder in FOLDERS]
    return sorted({str(path.relative_to(each).with_suffix("")) for each in folders for path in each.rglob("*.yaml")})


def file_of(group: str, name: str) -> Path:
    """Return the file of an option; that of --config-dir where both folders have one."""
    return next(path for folder in reversed(FOLDERS) if (path := folder / group / f"{name}.yaml").is_file())


def option(group: str, name: str) -> dict[str, Any]:
    """Return the settings of an option of conf/, those that its `defaults` name included."""
    return OmegaConf.to_container(recipes.option(group, name, CONF))  # type: ignore[return-value]


def as_composed(group: str, name: str) -> "DictConfig":
    """Return what `compose([f"{group}={name}"])` has in the group, for an option of conf/, without Hydra."""
    settings: DictConfig = OmegaConf.merge(  # type: ignore[assignment]
        _of_every_option().get(group, {}), recipes.option(group, name, CONF)
    )
    return settings


@functools.cache
def _of_every_option() -> Any:
    return OmegaConf.load(CONF / "config.yaml")


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise ConfigError for an unknown option or key among the overrides; Hydra checks its own settings."""
    from dsee_bench.config.shorthand import spelled_out, variants  # it reads options by this module

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
                if (name, value) != ("experiment", "None") and value not in options(name):
                    _known(value, [*options(name), *(variants() if name == "task" else [])], f"option of {name}")
            choices[name] = values[0]
        else:
            keys.append(name)
    known = {"seed", *(field.name for field in fields(Launch))}
    if set(keys) <= known:
        return
    config = compose(spelled_out([f"{group}={choice}" for group, choice in choices.items()]))
    for key in keys:
        _check_key(config, key)


@functools.cache
def parse(override: str) -> Any:  # hydra's Override
    """Return a word of the command line as Hydra reads it; ConfigError if it cannot."""
    try:
        return _parse(override)
    except ValueError as error:
        raise ConfigError(f"{_short(override)} cannot be read: {error}; {_way_out(override)}") from error


def _parse(override: str) -> Any:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    except ValueError as error:  # of Python, for an integer of more digits than it reads
        raise ValueError("the number has too many digits") from error


def _way_out(override: str) -> str:
    key, equals, value = override.partition("=")
    word = quoted(key, value)
    try:
        (as_read,) = shlex.split(word)
        if equals and len(word) <= 1000 and _parse(as_read).value() == value:
            return f"as a text it is typed {word}"
    except ValueError:
        pass
    return "write key=value"


def _short(word: str) -> str:
    return repr(word if len(word) <= 200 else f"{word[:60]}...")


def quoted(key: str, value: str) -> str:
    """Return the word that sets `key` to this text in a shell, whatever characters it has."""
    return shlex.quote(f"{key}={_text(value)}")


def _text(value: str) -> str:
    """Return the text between quotes, for Hydra."""
    escaped = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ("\\" if found[2] else "") + found[2], value)
    return f'"{escaped}"'


def _values(override: Any) -> list[str]:  # hydra's Override
    if override.is_sweep_override():
        return [str(item) for item in override.sweep_string_iterator()]
    return [str(override.value())]


def _known(name: str, among: Sequence[str], what: str) -> None:
    if name not in among:
        raise ConfigError(f"{name!r} is no {what}{nearest(name, among)} There are: {', '.join(among)}")


def _check_key(config: "DictConfig", key: str) -> None:
    """Raise ConfigError for the first unknown part of a dotted key, with the names that exist."""
    node: Any = config
    path: list[str] = []
    for part in key.split("."):
        if not hasattr(node, "keys"):
            raise ConfigError(f"{'.'.join(path)} is a single value; it has no {part!r} below it")
        names = [str(name) for name in node if not str(name).startswith("_")]
        if part not in names and part not in node:
            place = f"key of {'.'.join(path)}" if path else "key or group"
            has = f"There are: {', '.join(names)}." if names else "There are none."
            # The class of the settings, or PEFT, may know a key that no file has.
            add = f" One that no file has is given as +{key}=VALUE." if path else ""
            raise ConfigError(f"{part!r} is no {place}{nearest(part, names)} {has}{add}")
        path.append(part)
        node = node._get_node(part)


def compose(overrides: Sequence[str] = (), *, hydra_too: bool = False) -> "DictConfig":
    """Compose conf/config.yaml with these overrides; ConfigError for an unknown name.

    With `hydra_too`, Hydra's own settings stand under `hydra`.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    for word in overrides:
        if parse(word).is_sweep_override():
            key, _, value = word.partition("=")
            text = quoted(key, value)
            raise ConfigError(f"{_short(word)} is a sweep, which needs --multirun; as a text it is typed {text}")
    within = GlobalHydra.instance().is_initialized()  # in a sweep, which has read conf/
    try:
        with contextlib.nullcontext() if within else initialize_config_dir(str(CONF), version_base="1.3"):
            more = [f"hydra.searchpath=[{_text(str(folder))}]" for folder in FOLDERS[1:]]
            return hydra_compose("config", overrides=[*overrides, *more], return_hydra_config=hydra_too)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: of a group that is null
        check_overrides(overrides)  # raises with the names that Hydra's own message lacks
        raise ConfigError(" ".join(str(error).split())) from error


def resolve(composed: "DictConfig") -> dict[str, Any]:
    """Return the plain values of a composed configuration; ConfigError for a reference to a missing key."""
    try:
        return OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        key, reason = error.full_key, str(error).splitlines()[0]
        value = _unresolved(OmegaConf.to_container(composed, resolve=False), str(key))
        raise ConfigError(f"{key}={value}: {reason}; give {key} a value, or name a key that has one") from error


def _unresolved(content: Any, key: str) -> Any:
    """Return the value at a dotted key, as it was written."""
    for part in re.findall(r"[^.\[\]]+", key):
        content = content[int(part) if isinstance(content, list) else part]
    return content


# --- identity ---------------------------------------------------------------------------------------------------------


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the resolved settings that change a result: all but the launch settings and a method's neighbour."""
    launch = {field.name for field in fields(Launch)}
    settings = {key: value for key, value in config.items() if key not in launch}
    method = settings.get("method")
    if isinstance(method, Mapping):
        settings["method"] = {key: value for key, value in method.items() if key != "neighbour"}
    return settings


def digest(content: object) -> str:
    """Return eight hex digits over plain content. The order of keys does not matter.

    None means "not set", so a new optional setting leaves the identity of earlier runs as it was. Of a `_target_` the
    class name counts, so a class may move to another module.
    """
    content = _identifying(content)
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _identifying(content: object) -> object:
    if isinstance(content, Mapping):
        return {
            key: str(value).rpartition(".")[2] if key == "_target_" else _identifying(value)
            for key, value in content.items()
            if value is not None
        }
    if isinstance(content, list | tuple):
        return [_identifying(value) for value in content]
    return content


def run_id(config: Mapping[str, Any]) -> str:
    """Return names, seed, and a hash of all settings that change a result: `rte-minilm-dsee-s0-1a2b3c4d`.

    Files are named by it, so it has plain characters only, and at most 100.
    """
    names = [str(config[group]["name"]) for group in ("task", "backbone", "method")]
    end = f"-s{config['seed']}-{digest(identity(config))}"
    return f"{plain('-'.join(names))[: LONGEST_NAME - len(end)]}{end}"
