"""dsee-bench: sparse, parameter-efficient tuning of language models, measured."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> str:
    """`__version__`, looked up where it is asked for: pyproject.toml is its one home."""
    if name == "__version__":
        from dsee_bench.system.terminal import package_version

        return package_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load(folder: str | os.PathLike[str]) -> "PreTrainedModel":
    """A model that `dsee-bench ... export=DIR` wrote, ready to use; ValueError for a folder that is not whole."""
    from dsee_bench.deploy.load import load as load_export

    return load_export(folder)
