"""Rows held out of train, to choose checkpoints and settings on other rows than those that are reported."""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsee_bench.tasks.example import Split, split_of

VALIDATION = "validation"
TWO_WAYS = (  # where a task has no dev split
    "two ways out: task.split.dev=EXPRESSION, such as train[90%:], whose rows train then leaves out; or "
    "train.select_on=validation train.validation=0.1 train.validation_seed=0, which holds out training rows"
)


def hold_out(data: Mapping[str, Split[Any]], count: int, seed: int) -> dict[str, Split[Any]]:
    """Return the splits with `count` examples moved from train to a split "validation".

    The draw depends on the rows and `seed` alone, so every method and run seed gets the same rows. Classes keep their
    shares: each gives the rounded share of its rows, the largest remainders first, and at least one row stays in
    train. Of several labels a row, combinations keep their shares. Data to text moves whole contexts, so no context is
    in both splits. Raises ValueError where nothing would be left to train on.
    """
    train = data["train"]
    if count >= len(train.examples):
        raise ValueError(
            f"train.validation holds out {count} of {len(train.examples)} training rows; leave some to train on"
        )
    chosen = set(_draw(_classes(train), count, random.Random(seed)))
    parts = {
        "train": (row for at, row in enumerate(train.examples) if at not in chosen),
        VALIDATION: (row for at, row in enumerate(train.examples) if at in chosen),
    }
    made = {name: replace(split_of(name, rows, train.files), places=train.places) for name, rows in parts.items()}
    return {**made, **{name: split for name, split in data.items() if name != "train"}}


def _classes(train: Split[Any]) -> list[object]:
    """Return the class of each example; one class for all where labels are numbers or texts.

    Of several labels it is the combination of them; those that stand once are one class together.
    """
    labels: list[Any] = [getattr(row, "label", None) for row in train.examples]
    times = Counter(label for label in labels if isinstance(label, tuple))
    return [label if isinstance(label, int) or times[label] > 1 else None for label in labels]


def _draw(classes: Sequence[object], count: int, generator: random.Random) -> list[int]:
    """Return `count` positions, of each class its share."""
    sizes = Counter(classes)
    exact = {label: count * size / len(classes) for label, size in sizes.items()}
    taken = {label: min(math.floor(share), sizes[label] - 1) for label, share in exact.items()}
    by_remainder = sorted(sizes, key=lambda label: (taken[label] - exact[label], str(label)))
    while sum(taken.values()) < count:
        room = [label for label in by_remainder if taken[label] < sizes[label] - 1] or by_remainder
        for label in room[: count - sum(taken.values())]:
            taken[label] += 1
    positions: list[int] = []
    for label in sorted(sizes, key=str):
        members = [at for at, other in enumerate(classes) if other == label]
        positions += generator.sample(members, taken[label])
    return positions
