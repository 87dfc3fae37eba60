"""What a task hands over: examples in splits, each split with a checksum of its content."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from dsee_bench.hub import Wanted
from dsee_bench.system.errors import shown

Kind = Literal["classification", "regression", "generation"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Example:
    """One text or a pair of texts; `label` is a class index, a real number, or None where it is not known."""

    texts: tuple[str, ...]
    label: int | float | None


@dataclass(frozen=True)
class Split(Generic[Item]):
    """The examples of one split in the order of their source; make it with `split_of`."""

    name: str
    examples: tuple[Item, ...]
    sha256: str
    source: str = field(
        default="", compare=False
    )  # which of a data set's published forms it is, for the signature of scores
    files: tuple[Path, ...] = field(default=(), compare=False)  # that it was read from
    encoded: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # its tokens

    def __len__(self) -> int:
        return len(self.examples)

    def read_from(self, files: Sequence[Path]) -> "Split[Item]":
        """This split, with the files that it was read from."""
        return replace(self, files=tuple(path.absolute() for path in files))


class Task(Protocol):
    """What the runner knows of a task. The first of `metrics` decides which checkpoint is best."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def metrics(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> Mapping[str, int]:
        """Known sizes of the splits, for counting steps without reading a row; empty where they are not known."""
        ...

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Any]]:
        """Every split by its name: "train", "dev", and what else the task has."""
        ...

    def hub_files(self, data_dir: Path | None) -> Wanted | None:
        """What `load(data_dir)` takes from the hub; None if nothing."""
        ...


def split_of(name: str, examples: Iterable[Item]) -> Split[Item]:
    """A split and its checksum; ValueError if it has no example."""
    items = tuple(examples)
    if not items:
        raise ValueError(f"split {name!r} has no example; its file is empty or nothing in it was kept")
    return Split(name, items, content_sha256(items))


def encodable(text: str) -> bool:
    """Whether `text` can be written in UTF-8: JSON can spell half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def content_sha256(examples: Iterable[Any]) -> str:
    """SHA-256 over the fields of `examples` (dataclasses) in order, one JSON array a line, UTF-8.

    The name of the split, the file format and the place it was read from are left out, so that the same rows have the
    same checksum wherever they come from. A label 1 and a label 1.0 differ.
    """
    digest = hashlib.sha256()
    for number, example in enumerate(examples, start=1):
        line = json.dumps(astuple(example), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if not encodable(line):
            raise ValueError(f"example {number} holds half a surrogate pair, which is no character: {shown(line)}")
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
