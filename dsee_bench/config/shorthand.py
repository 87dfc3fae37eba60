"""A variant of a family by its own name: `task=viggo` is short for `task=data_to_text task.variant=viggo`."""

import re
from collections.abc import Sequence

from dsee_bench.config import ConfigError, file_of, option, options


def spelled_out(words: Sequence[str]) -> list[str]:
    """Return the words of a command with a variant's name, where no option of `task` has it, as family and variant."""
    made: list[str] = []
    for word in words:
        group, _, name = word.partition("=")
        families = _families_with(name) if group == "task" and name not in options("task") else []
        if len(families) > 1:
            ways = " or ".join(f"task={family} task.variant={name}" for family in families)
            raise ConfigError(f"{word} is a variant of several families; say {ways}")
        made += [f"task={family}" for family in families] + [f"task.variant={name}"] if families else [word]
    return made


def variants() -> list[str]:
    """Return the names of all variants, which `task` takes like options of its own."""
    return sorted({name for family in _families() for name in option("task", family).get("variants") or ()})


def _families_with(variant: str) -> list[str]:
    """Return the families that have a variant of this name."""
    if re.search(r"[,(){}\[\]]", variant):  # a list of options, which a sweep takes apart later
        return []
    return [family for family in _families() if variant in (option("task", family).get("variants") or ())]


def _families() -> list[str]:
    """Return the options of `task` that may have variants; the text tells in a tenth of the time of reading them."""
    return [name for name in options("task") if "variants:" in file_of("task", name).read_text(encoding="utf-8")]
