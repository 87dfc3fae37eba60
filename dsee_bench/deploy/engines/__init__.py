"""Engines that can run a finished model. One engine a file; the folder is the list of what there is.

A file NAME.py has

    NEEDED: tuple[str, ...]                    modules that the extra `engines` installs
    deploy(source, folder) -> Deployed         the model, ready to run; what it writes goes into `folder`
    deploy_dense(source, folder) -> Deployed   optional: the untouched model to compare with, where `deploy` refuses it
    SKIPS: tuple[str, ...]                     optional: the patterns of the atlas whose zeros it skips
    ONE_WEIGHT: bool                           optional: False where the atlas leaves it out: one weight shows nothing

Both raise Refused with the reason where the engine cannot take the model. A file with a "_" in front is no engine.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from dsee_bench.config import ConfigError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch = Mapping[str, "Tensor"]  # the inputs of a model by name, on the CPU


class Refused(ValueError):
    """Why an engine cannot take a model."""


@dataclass(frozen=True)
class Source:
    """What an engine deploys: a finished model, or one weight of the atlas."""

    module: "nn.Module"  # in eval mode; an engine copies what it changes
    onnx: Callable[[], Path]  # writes the model as ONNX once; Refused where it cannot
    rows: Callable[[], Iterable[Batch]]  # batches to calibrate 8-bit ranges on


@dataclass(frozen=True)
class Deployed:
    """A model that an engine holds."""

    run: Callable[[Batch], "Tensor"]  # inputs to outputs on the engine's device, finished when it returns
    precision: str  # what it multiplies in: fp32, int8, ...
    bytes: int  # of the weights as this engine takes them
    device: str  # in words
    packages: tuple[str, ...] = ("torch",)  # distributions that compute
    module: "nn.Module | None" = None  # that generates texts; None where the engine has logits alone
    note: str | None = None  # what a reader must know of it


class Engine(Protocol):
    """What a file of this folder has."""

    NEEDED: tuple[str, ...]

    def deploy(self, source: Source, folder: Path) -> Deployed: ...


def names() -> list[str]:
    """Return the names of all engines, sorted."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))


def check(asked: Sequence[str]) -> None:
    """ConfigError for the name of an engine that is not there."""
    known = names()
    for name in asked:
        if name not in known:
            raise ConfigError(
                f"measure_engines: no engine {name!r}{nearest(name, known)} There are: {', '.join(known)}"
            )


def deploy(name: str, source: Source, folder: Path) -> Deployed:
    """Return the model on the engine; Refused where a package is missing or the engine cannot take it."""
    return _engine(name).deploy(source, folder)


def deploy_dense(name: str, source: Source, folder: Path) -> Deployed:
    """Return the untouched model that this engine's time is compared with."""
    engine: Any = _engine(name)
    return cast(Deployed, getattr(engine, "deploy_dense", engine.deploy)(source, folder))


def skips(name: str) -> tuple[str, ...]:
    """Return the patterns of zeros that an engine skips; () for one that computes with zeros as with other entries."""
    engine: Any = importlib.import_module(f"{__name__}.{name}")
    return tuple(getattr(engine, "SKIPS", ()))


def of_one_weight() -> list[str]:
    """Return the names of the engines that the atlas measures."""
    return [name for name in names() if getattr(importlib.import_module(f"{__name__}.{name}"), "ONE_WEIGHT", True)]


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, which may be a long story."""
    return (str(error).strip() or "no message").splitlines()[0][:200]


def _engine(name: str) -> Engine:
    from dsee_bench.system.extras import require

    engine: Any = importlib.import_module(f"{__name__}.{name}")
    try:
        require("engines", name, *engine.NEEDED)
    except ValueError as error:
        raise Refused(str(error)) from error
    return cast(Engine, engine)
