"""`dsee-bench backbones`, `tasks`, `methods`, `recipes`, `experiments`: the options of a group, a line each."""

import argparse
import re
from collections.abc import Sequence
from textwrap import shorten

from dsee_bench import config
from dsee_bench.monitoring import console

GROUPS = {  # command -> group of conf/
    "backbones": "backbone",
    "tasks": "task",
    "methods": "method",
    "recipes": "train",
    "experiments": "experiment",
}


def main(words: Sequence[str]) -> int:
    """Print the options of the group that the first word names, with the first sentence of each file."""
    from tabulate import tabulate

    name = words[0]
    parser = argparse.ArgumentParser(prog=f"dsee-bench {name}", description=f"List the {name} there are.")
    parser.parse_args(words[1:])
    group = GROUPS[name]
    lines = [[option, summary(group, option)] for option in config.options(group)]
    console.output(tabulate([*lines, *variants(group)], tablefmt="plain"))
    return 0


def variants(group: str) -> list[list[str]]:
    """Return a line for each variant of a family of tasks: task=VARIANT, or task=FAMILY task.variant=VARIANT."""
    return [
        [str(variant), f"{family}: {variant_summary(family, str(variant))}"]
        for family in (config.options(group) if group == "task" else ())
        for variant in config.option(group, family).get("variants") or ()
    ]


def variant_summary(family: str, variant: str) -> str:
    """Return the first sentence of the comment above a variant, or its name."""
    text = config.file_of("task", family).read_text(encoding="utf-8")
    found = re.search(rf"((?:^  # .*\n)+)^  {re.escape(variant)}:", text, flags=re.MULTILINE)
    return _first_sentence([line.strip("# ") for line in found[1].splitlines()]) if found else variant


def summary(group: str, option: str) -> str:
    """Return the first sentence of the comment at the head of an option's file."""
    lines = []
    for line in config.file_of(group, option).read_text(encoding="utf-8").splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return _first_sentence(lines)


def _first_sentence(lines: Sequence[str]) -> str:
    first = re.split(r"(?<!et al)[.:] (?=[A-Z])", " ".join(lines))[0]
    return shorten(first.rstrip(".:"), 110, placeholder=" ...")
