"""Packages that only some runs need: which extra of this package installs them."""

import importlib.util
from importlib.metadata import PackageNotFoundError, requires

PROJECT = "dsee-bench"


def require(extra: str, purpose: str, *modules: str) -> None:
    """Raise ValueError if a module is missing; it names the purpose, the modules, and the extra that installs them."""
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        raise ValueError(
            f"{purpose} needs {' and '.join(missing)}, not installed here; pip install '{PROJECT}[{extra}]'"
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it lies in
        return False


def extra_with(distribution: str) -> str | None:
    """Return the extra of this project that installs `distribution`; None if there is none."""
    from packaging.requirements import Requirement

    try:
        stated = [Requirement(line) for line in requires(PROJECT) or ()]
    except PackageNotFoundError:  # run from a folder that was never installed
        return None
    found = [line.marker for line in stated if line.name == distribution and line.marker is not None]
    extras = [str(marker).rpartition("extra == ")[2].strip("\"'") for marker in found if "extra == " in str(marker)]
    return min(extras, key=lambda extra: (extra in ("all", "dev"), extra), default=None)
