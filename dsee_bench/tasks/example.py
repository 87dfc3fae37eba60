"""Examples in splits, each split with a checksum of its content; what the runner asks of a task."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from dsee_bench.hub import HubFiles
from dsee_bench.system.errors import shown
from dsee_bench.tasks.arrow import Columns, Stored, batches, mapped

Kind = Literal["classification", "regression", "multi_label", "multiple_choice", "generation", "language_modeling"]
THRESHOLD = 0.5  # probability above which a label is an answer, where a task names no other
CAUSAL = ("generation", "language_modeling")  # kinds for a causal language model; the others have a task head
Truncate = Literal["head", "tail", "head_tail"]  # which tokens of a long text stay
Item = TypeVar("Item")


@dataclass(frozen=True)
class Example:
    """One text or a pair of texts; `label` is a class index, a real number, a row of 0 and 1, or None: not known."""

    texts: tuple[str, ...]
    label: int | float | tuple[int, ...] | None


class Examples(Stored[Example]):
    """Examples on disk."""

    def item(self, row: Mapping[str, Any]) -> Example:
        label = row["label"]
        return Example(tuple(row["texts"]), tuple(label) if isinstance(label, list) else label)


@dataclass(frozen=True)
class Question:
    """A question with choices: the model scores each pair of a context and a choice; `label` is the right one."""

    contexts: tuple[str, ...]  # one for each choice, since a blank may stand in it
    choices: tuple[str, ...]
    label: int | None


class Questions(Stored[Question]):
    """Questions on disk."""

    def item(self, row: Mapping[str, Any]) -> Question:
        return Question(tuple(row["contexts"]), tuple(row["choices"]), row["label"])


STORED: Mapping[type, Any] = {Example: Examples, Question: Questions}


def _columns(examples: Sequence[Any]) -> Columns:
    return {name: [getattr(example, name) for example in examples] for name in vars(examples[0])}


@dataclass(frozen=True)
class Split(Generic[Item]):
    """The examples of one split in the order of their source; make it with `split_of`."""

    name: str
    examples: Sequence[Item]
    sha256: str
    source: str = field(default="", compare=False)  # the published form of the data set, for the signature of scores
    files: tuple[Path, ...] = field(default=(), compare=False)  # that it was read from
    places: tuple[str, ...] = field(default=(), compare=False)  # what answers call the choices of a question, in order
    encoded: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # its tokens

    def __len__(self) -> int:
        return len(self.examples)


class Task(Protocol):
    """A task as the runner knows it; the first of `metrics` decides which checkpoint is best."""

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
        """Known sizes of splits, to count steps without reading a row."""
        ...

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns of the texts in files of rows; () where there is none."""
        ...

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Any]]:
        """Return every split by its name: "train", "dev", and more where the task has them."""
        ...

    def hub_files(self, data_dir: Path | None) -> HubFiles | None:
        """Return what `load(data_dir)` takes from the hub; None if nothing."""
        ...


def threshold_of(task: Task) -> float:
    """Return the probability above which a label is an answer of a multi-label task."""
    threshold: float | None = getattr(task, "threshold", None)
    return THRESHOLD if threshold is None else threshold


def split_of(name: str, examples: Iterable[Any], files: Sequence[Path] = (), source: str = "") -> Split[Any]:
    """Return a split and its checksum; ValueError if it has no example.

    Texts with labels go to disk; the texts to write of a data-to-text task are 20 MB at most and stay in memory.
    """
    rest = iter(examples)
    first = next(rest, None)
    if first is None:
        raise ValueError(f"split {name!r} has no example; its file is empty or nothing in it was kept")
    every = chain([first], rest)
    stored = STORED.get(type(first))
    items = tuple(every) if stored is None else stored(mapped(map(_columns, batches(every))))
    return Split(name, items, content_sha256(items), source, tuple(path.absolute() for path in files))


def splits_of(
    files: Mapping[str, Sequence[Path]], read: Callable[[Sequence[Path]], Iterable[Any]]
) -> dict[str, Split[Any]]:
    """Return the splits that `read` makes of their files."""
    return {name: split_of(name, read(paths), paths) for name, paths in files.items()}


def encodable(text: str) -> bool:
    """Return whether `text` is UTF-8: JSON can spell half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def content_sha256(examples: Iterable[Any]) -> str:
    """Return the SHA-256 over the fields of `examples` (dataclasses) in order, one JSON array a line, UTF-8.

    The name of the split, the file format and the place it was read from are left out, so that the same rows have the
    same checksum wherever they come from. A label 1 and a label 1.0 differ.
    """
    digest = hashlib.sha256()
    for number, example in enumerate(examples, start=1):
        line = json.dumps([*vars(example).values()], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if not encodable(line):
            raise ValueError(f"example {number} holds half a surrogate pair, which is no character: {shown(line)}")
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
