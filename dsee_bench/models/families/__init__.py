"""Model families. Each file holds one class derived from Backbone: its table of paths. The folder is the list."""

import functools
import importlib
import pkgutil

from dsee_bench.models.backbone import Backbone


@functools.cache
def families() -> dict[str, type[Backbone]]:
    """Return the class of each model type that transformers' config.json may name."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    classes = [cls for module in modules for cls in vars(module).values() if isinstance(cls, type)]
    return {name: cls for cls in classes if issubclass(cls, Backbone) for name in cls.model_types}
