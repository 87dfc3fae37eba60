"""Make the DSEE adapter known to PEFT as soon as PEFT is imported, so that `import dsee_bench` is enough to load one.

PEFT has no entry point for methods of others, and importing it takes seconds: so a finder waits for its import.
"""

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

ADAPTER_MODULE = "dsee_bench.adapters.dsee"


def register_with_peft() -> None:
    """Register the DSEE adapter now where PEFT is imported already, else right after PEFT's import."""
    if "peft" in sys.modules:
        importlib.import_module(ADAPTER_MODULE)
    elif not any(isinstance(finder, _AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPeft())


class _AfterPeft(MetaPathFinder):
    """Finds PEFT as the other finders do, and lets its loader register the adapter after it has run."""

    _asking = False  # the others

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "peft" or self._asking:
            return None
        self._asking = True
        try:
            spec = find_spec(fullname)
        finally:
            self._asking = False
        loader: Any = None if spec is None else spec.loader
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                sys.meta_path.remove(self)
                importlib.import_module(ADAPTER_MODULE)

            loader.exec_module = exec_module
        return spec
