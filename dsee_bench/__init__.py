"""dsee-bench: sparse, parameter-efficient tuning of language models, measured."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["load"]


def load(folder: str | os.PathLike[str]) -> "PreTrainedModel":
    """A model that `dsee-bench ... export=DIR` wrote, ready to use; ValueError for a folder that is not whole."""
    from dsee_bench.deploy.load import load as load_export

    return load_export(folder)
