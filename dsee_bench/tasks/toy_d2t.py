"""A small data-to-text task made in code from a seed, for demos and tests; nothing to download.

Restaurants in E2E's manner: a name, a type and one to three more attributes, and for each such context three texts of
which any is right. No context of one split stands in another, but every word of dev and test stands in train.
"""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dsee_bench.config.limits import Count, Seed
from dsee_bench.metrics import nlg
from dsee_bench.tasks.example import Split, split_of
from dsee_bench.tasks.generation import Decoding, Generation

SLOTS: Mapping[str, tuple[str, ...]] = {
    "name": ("the mill", "the eagle", "the vaults", "blue spice", "green man", "loch fyne", "aromi", "cocum"),
    "type": ("pub", "restaurant", "coffee shop"),
    "price": ("cheap", "moderate", "expensive"),
    "food": ("french", "indian", "english", "italian", "chinese"),
    "area": ("city centre", "riverside"),
    "family": ("yes", "no"),
}
OPTIONAL = ("price", "food", "area", "family")
REFERENCES = 3  # a context


def describe(slots: Mapping[str, str]) -> tuple[str, ...]:
    """Return the three texts for a context, of 6 to 22 words."""
    kind = " ".join(slots[slot] for slot in ("price", "type") if slot in slots)
    article = "an" if kind[0] in "aeiou" else "a"
    food, area, family = (slots.get(slot) for slot in ("food", "area", "family"))
    welcome = {"yes": "welcomes families", "no": "is not for families", None: None}[family]
    place = f"in the {area}" if area else None
    name, thing = slots["name"], f"{article} {kind}"
    forms = (
        (f"{name} is {thing}", food and f"that serves {food} food", place, welcome and f"and it {welcome}"),
        (f"there is {thing} called {name}", place, food and f"with {food} food", welcome and f". it {welcome}"),
        (f"{name} , {thing}", place, f", offers {food} food" if food else ", is open", welcome and f"and {welcome}"),
    )
    return tuple(" ".join(part for part in (*parts, ".") if part) for parts in forms)


def every_context() -> list[dict[str, str]]:
    """Return all values of name and type, with all values of one to three of the optional attributes."""
    return [
        dict(zip(("name", "type", *chosen), values, strict=True))
        for count in range(1, len(OPTIONAL))
        for chosen in itertools.combinations(OPTIONAL, count)
        for values in itertools.product(*(SLOTS[slot] for slot in ("name", "type", *chosen)))
    ]


@dataclass(frozen=True)
class ToyDataToText:
    """See conf/task/toy_d2t.yaml."""

    name: str
    kind: Literal["generation"]
    metrics: tuple[str, ...]
    contexts: Mapping[str, Count]  # by split
    seed: Seed  # of the data; the run's seed changes no row
    decode: Decoding

    protocol: ClassVar[nlg.Protocol] = "e2e"
    answer_pattern: ClassVar[None] = None

    def __post_init__(self) -> None:
        nlg.check(self.protocol, self.metrics)
        size = len(every_context())
        if not {"train", "dev"} <= self.contexts.keys():
            raise ValueError(f"contexts must give train and dev, got {dict(self.contexts)}")
        if sum(self.contexts.values()) > size:
            raise ValueError(f"contexts asks for {sum(self.contexts.values())}, there are {size}")

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def rows(self) -> dict[str, int]:
        """Texts by split: the rows that training goes through."""
        return {split: count * REFERENCES for split, count in self.contexts.items()}

    def hub_files(self, data_dir: Path | None) -> None:
        """Return None: the rows are made here."""

    @property
    def text_columns(self) -> tuple[str, ...]:
        return ()

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Generation]]:
        """Return the splits that `contexts` names; neither argument changes a row."""
        contexts = every_context()
        order = iter(random.Random(self.seed).sample(contexts, len(contexts)))
        return {
            split: split_of(split, [_example(slots) for slots in itertools.islice(order, count)])
            for split, count in self.contexts.items()
        }


def _example(slots: Mapping[str, str]) -> Generation:
    return Generation(" | ".join(f"{slot} : {value}" for slot, value in slots.items()), describe(slots))
