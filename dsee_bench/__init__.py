"""dsee-bench: sparse, parameter-efficient tuning of language models, measured.

The public library. Its names are imported where they are asked for, so that `import dsee_bench` stays light. PEFT loads
DSEE adapters from then on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsee_bench.adapters.known_to_peft import register_with_peft

if TYPE_CHECKING:
    from dsee_bench.adapters.dsee import DseeConfig
    from dsee_bench.deploy.load import load
    from dsee_bench.library import count, narrow_, prune_, save

__all__ = ["DseeConfig", "__version__", "count", "load", "narrow_", "prune_", "save"]
HOMES = {"DseeConfig": "adapters.dsee", "load": "deploy.load"}  # the others are in library.py


def __getattr__(name: str) -> Any:
    """Import what is asked for; pyproject.toml is the one home of `__version__`."""
    if name == "__version__":
        from dsee_bench.system.terminal import package_version

        return package_version()
    if name in __all__:
        return getattr(import_module(f"{__name__}.{HOMES.get(name, 'library')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_with_peft()
