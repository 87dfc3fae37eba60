"""What a data-to-text task hands over: a context to put into words, and every text that people wrote for it.

Also what the readers of E2E, WebNLG and DART share: how triples become a line, and how the form a data set comes in is
told from the files that lie in a folder.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from dsee_bench.config.limits import Count, CountOrZero, Limits
from dsee_bench.hub import DataRevision, Wanted, get
from dsee_bench.metrics import nlg
from dsee_bench.system.sources import check_file, find_files, read_content
from dsee_bench.tasks.example import Split, split_of


@dataclass(frozen=True)
class Generation:
    """One context and its references, in the order of the source, repeated ones too.

    Only WebNLG has an entry without a reference: dev's one whose texts are all marked as faulty.
    """

    context: str
    references: tuple[str, ...]
    category: str | None = None  # WebNLG: the kind of thing it is about


@dataclass(frozen=True)
class Completion:
    """A row of training: a context, and one text to write for it."""

    context: str
    text: str


@dataclass(frozen=True)
class Decoding:
    """How texts are written for a data set's contexts: beam search, as its authors or LoRA's search."""

    beams: Count
    # A beam's log-likelihood is divided by its length to this power.
    length_penalty: Annotated[float, Limits(ge=-100, le=100)]
    no_repeat_ngram: CountOrZero  # no run of so many tokens stands twice in an output; 0: any may
    new_tokens: Count  # the most an output has
    batch_size: Count  # contexts at once
    splits: tuple[str, ...]  # that are written and scored
    contexts: Count | None  # of each split, the first ones only; None: all

    def __post_init__(self) -> None:
        if not self.splits or "train" in self.splits:
            raise ValueError(f"splits must name at least one, and not train, got {list(self.splits)}")


def completions(split: Split[Generation]) -> Split[Completion]:
    """A split as training goes through it, a row for every text; the checksum stays the source's."""
    return Split(split.name, tuple(Completion(*pair) for pair in pairs(split.examples)), split.sha256)


def pairs(examples: Iterable[Generation]) -> list[tuple[str, str]]:
    """What is trained on: every (context, text), the texts of a context one after the other."""
    return [(example.context, text) for example in examples for text in example.references]


def scorable(examples: Sequence[Generation], outputs: Sequence[str]) -> tuple[tuple[Generation, ...], tuple[str, ...]]:
    """The examples that have a reference, with their outputs."""
    if len(examples) != len(outputs):
        raise ValueError(f"{len(outputs)} outputs for {len(examples)} contexts; give one for each, in their order")
    kept = [(example, text) for example, text in zip(examples, outputs, strict=True) if any(example.references)]
    return tuple(example for example, _ in kept), tuple(text for _, text in kept)


def linearise(triples: Iterable[Sequence[str]]) -> str:
    """`subject : relation : object | ...`, the line that LoRA's authors give to GPT-2."""
    return " | ".join(" : ".join(triple) for triple in triples)


Read = Callable[[Sequence[Path], str], Iterable[Generation]]  # (files of a split, split) -> examples


@dataclass(frozen=True)
class Form:
    """One form in which a data set is published."""

    name: str
    files: Mapping[str, str]  # split -> pattern of its file or files
    read: Read


@dataclass(frozen=True)
class DataToText:
    """A data-to-text task; a data set is a subclass that knows its forms."""

    name: str
    kind: Literal["generation"]
    metrics: tuple[str, ...]
    counts: Mapping[str, tuple[Count, Count]] | None  # split -> (contexts, texts) as published; None: whatever there is
    hub: DataRevision
    decode: Decoding

    protocol: ClassVar[nlg.Protocol]  # how its authors score
    forms: ClassVar[tuple[Form, ...]]
    places: ClassVar[tuple[str, ...]]  # folders in which to look, under data_dir
    read_hub: ClassVar[Read]

    def __post_init__(self) -> None:
        nlg.check(self.protocol, self.metrics)

    @property
    def labels(self) -> tuple[str, ...]:
        return ()

    @property
    def rows(self) -> dict[str, int]:
        """Texts by split: the rows that training goes through, as many as `pairs` gives."""
        return {split: texts for split, (_, texts) in (self.counts or {}).items()}

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Generation]]:
        """The splits "train", "dev" and, where it is there, "test"."""
        needed = ("train", "dev")
        found = needed + (("test",) if self._has("test", data_dir) else ())
        return {split: self.read(data_dir, split) for split in found}

    def _has(self, split: str, data_dir: Path | None) -> bool:
        return split in self.hub.files if data_dir is None else bool(self._candidates(data_dir, split))

    def _candidates(self, data_dir: Path, split: str) -> list[tuple[Form, tuple[Path, ...]]]:
        """Each form of `split` that lies in `data_dir`, with its files, the first place and the first form first."""
        matches = [
            (form, tuple(sorted((data_dir / place).glob(form.files[split]))))
            for place in self.places
            for form in self.forms
            if split in form.files
        ]
        return [(form, files) for form, files in matches if files]

    def find(self, data_dir: Path, split: str) -> tuple[Form, tuple[Path, ...]]:
        """The form that `split` has in `data_dir`, and its files; an error names every accepted form if it has none."""
        if not data_dir.is_dir():
            raise FileNotFoundError(f"data_dir={data_dir} is no folder; give the one that holds {self.name}'s files")
        candidates = self._candidates(data_dir, split)
        if not candidates:
            accepted = "; ".join(f"{form.files[split]} ({form.name})" for form in self.forms if split in form.files)
            under = ", ".join(place for place in self.places if place != ".")
            raise FileNotFoundError(
                f"{data_dir} holds no {split} split of {self.name}; accepted, in it or in {under} under it: {accepted}"
            )
        return candidates[0]

    def read(self, data_dir: Path | None, split: str) -> Split[Generation]:
        """One split, from the files in `data_dir`, or from the hub if that is None."""
        if data_dir is not None:
            form, files = self.find(data_dir, split)
            found = replace(self._split(split, form.name, form.read, files), source=form.name)
            return self._checked(found, files[0])
        if split not in self.hub.files:
            raise ValueError(
                f"{self.hub.repo} on the hub has no {split} split of {self.name}; set data_dir to its files"
            )
        files = find_files(get(self._on_hub), self.hub.files[split])
        pinned = f"{self.hub.repo}@{self.hub.revision}"
        found = self._split(split, "parquet", type(self).read_hub, files)
        return self._checked(replace(found, source=pinned), files[0])

    def _split(self, split: str, form: str, read: Read, files: Sequence[Path]) -> Split[Generation]:
        """The examples that `read` finds; ValueError for files that are damaged or hold something else."""
        for path in files:
            check_file(path)
        try:
            return split_of(split, read(files, split), files)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{files[0]} is not {self.name} as {form}: {error!r}; copy it anew") from error

    def hub_files(self, data_dir: Path | None) -> Wanted | None:
        """What `load` takes from the hub: nothing if it has a `data_dir`."""
        return None if data_dir is not None else self._on_hub

    @property
    def _on_hub(self) -> Wanted:
        return self.hub.wanted(f"data_dir=DIR with {self.name}'s published files")

    def _checked(self, split: Split[Generation], source: Path) -> Split[Generation]:
        """`split`, if it is as large as published: a wrong grouping moves BLEU by 20 points and looks like a result."""
        found = (len(split), len(pairs(split.examples)))
        expected = None if self.counts is None else self.counts.get(split.name)
        if expected is not None and found != tuple(expected):
            raise ValueError(
                f"{source}: {self.name}'s {split.name} split as published has {expected[0]} contexts and {expected[1]} "
                f"texts, this has {found[0]} and {found[1]}; for data of your own set task.counts=null"
            )
        return split


def read_json(path: Path) -> object:
    """The JSON in `path`, unpacked if the name ends in .gz."""
    content = read_content(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def rows_of(column: Any) -> Iterator[Mapping[str, Any]]:
    """The rows of a parquet cell that is a list of structs, or the struct of lists that older `datasets` wrote."""
    if isinstance(column, Mapping):
        for values in zip(*column.values(), strict=True):
            yield dict(zip(column, values, strict=True))
    else:
        yield from column
