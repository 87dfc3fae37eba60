"""Data-to-text tasks: a context to put into words, and every text that people wrote for it.

E2E, WebNLG and DART share how triples become a line, and how the files in a folder tell the form of a data set.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from dsee_bench.config.limits import Count, CountOrZero, Limits
from dsee_bench.hub import DataRevision, HubFiles, get
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

    continued: ClassVar[bool] = False  # whether a text goes on from the context itself, without an end token between


@dataclass(frozen=True)
class Prompt(Generation):
    """A prompt that the text goes on from, as a template makes it; it may have no reference."""

    continued: ClassVar[bool] = True


@dataclass(frozen=True)
class Completion:
    """A row of training: a context, and one text to write for it."""

    context: str
    text: str

    continued: ClassVar[bool] = False


@dataclass(frozen=True)
class Continuation(Completion):
    """A row of training whose text goes on from its prompt."""

    continued: ClassVar[bool] = True


@dataclass(frozen=True)
class Decoding:
    """How texts are written for a data set's contexts: beam search, as its authors or LoRA's search."""

    beams: Count
    # A beam's log-likelihood is divided by its length to this power.
    length_penalty: Annotated[float, Limits(ge=-100, le=100)]
    no_repeat_ngram: CountOrZero  # no run of so many tokens stands twice in an output; 0: any may
    new_tokens: Count  # the most an output has
    batch_size: Count  # contexts at once
    splits: tuple[str, ...] | None  # that are written and scored; None: test where there is one, else dev
    contexts: Count | None  # of each split, the first ones only; None: all

    def __post_init__(self) -> None:
        if self.splits is not None and (not self.splits or "train" in self.splits):
            raise ValueError(f"splits must name at least one, and not train, got {list(self.splits)}")


def completions(split: Split[Generation]) -> Split[Completion]:
    """Return a split as training goes through it, a row for every text; the checksum stays the source's."""
    row = Continuation if split.examples[0].continued else Completion
    rows = tuple(row(*pair) for pair in pairs(split.examples))
    if not rows:
        raise ValueError(f"no row of {split.name} has a text to learn; check task.target and task.references")
    return Split(split.name, rows, split.sha256)


def pairs(examples: Iterable[Generation]) -> list[tuple[str, str]]:
    """Return every (context, text), the texts of a context one after the other: what is trained on."""
    return [(example.context, text) for example in examples for text in example.references]


def scorable(examples: Sequence[Generation], outputs: Sequence[str]) -> tuple[tuple[Generation, ...], tuple[str, ...]]:
    """Return the examples that have a reference, with their outputs."""
    if len(examples) != len(outputs):
        raise ValueError(f"{len(outputs)} outputs for {len(examples)} contexts; give one for each, in their order")
    chosen = [(example, text) for example, text in zip(examples, outputs, strict=True) if any(example.references)]
    return tuple(example for example, _ in chosen), tuple(text for _, text in chosen)


def linearise(triples: Iterable[Sequence[str]]) -> str:
    """Return `subject : relation : object | ...`, the line that LoRA's authors give to GPT-2."""
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
    answer_pattern: ClassVar[None] = None  # the whole text is the answer
    forms: ClassVar[tuple[Form, ...]]
    folders: ClassVar[tuple[str, ...]]  # in which to look, under data_dir
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

    @property
    def text_columns(self) -> tuple[str, ...]:
        return ()

    def load(self, data_dir: Path | None, seed: int) -> dict[str, Split[Generation]]:
        """Return the splits "train", "dev" and, where there is one, "test"."""
        tested = "test" in self.hub.files if data_dir is None else bool(self._candidates(data_dir, "test"))
        return {split: self.read(data_dir, split) for split in ("train", "dev", *(["test"] if tested else []))}

    def _candidates(self, data_dir: Path, split: str) -> list[tuple[Form, tuple[Path, ...]]]:
        """Return each form of `split` that lies in `data_dir`, with its files, by folder and then by form."""
        matches = [
            (form, tuple(sorted((data_dir / folder).glob(form.files[split]))))
            for folder in self.folders
            for form in self.forms
            if split in form.files
        ]
        return [(form, files) for form, files in matches if files]

    def find(self, data_dir: Path, split: str) -> tuple[Form, tuple[Path, ...]]:
        """Return the form that `split` has in `data_dir`, and its files; FileNotFoundError names all forms."""
        if not data_dir.is_dir():
            raise FileNotFoundError(f"data_dir={data_dir} is no folder; give the one that holds {self.name}'s files")
        candidates = self._candidates(data_dir, split)
        if not candidates:
            accepted = "; ".join(f"{form.files[split]} ({form.name})" for form in self.forms if split in form.files)
            under = ", ".join(folder for folder in self.folders if folder != ".")
            raise FileNotFoundError(
                f"{data_dir} holds no {split} split of {self.name}; accepted, in it or in {under} under it: {accepted}"
            )
        return candidates[0]

    def read(self, data_dir: Path | None, split: str) -> Split[Generation]:
        """Return one split, from the files in `data_dir`, or from the hub if that is None.

        ValueError for files that are damaged or hold something else, and for another size than published: a wrong
        grouping moves BLEU by 20 points and looks like a result.
        """
        if data_dir is not None:
            form, files = self.find(data_dir, split)
            source = form.name
        elif split in self.hub.files:
            files = find_files(get(self._on_hub), self.hub.files[split])
            form = Form("parquet", self.hub.files, type(self).read_hub)
            source = f"{self.hub.repo}@{self.hub.revision}"
        else:
            raise ValueError(
                f"{self.hub.repo} on the hub has no {split} split of {self.name}; set data_dir to its files"
            )
        for path in files:
            check_file(path)
        try:
            content = split_of(split, form.read(files, split), files, source)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{files[0]} is not {self.name} as {form.name}: {error!r}; copy it anew") from error
        size, published = (len(content), len(pairs(content.examples))), (self.counts or {}).get(split)
        if published is not None and size != tuple(published):
            raise ValueError(
                f"{files[0]}: {self.name}'s {split} split as published has {published[0]} contexts and {published[1]} "
                f"texts, this has {size[0]} and {size[1]}; for data of your own set task.counts=null"
            )
        return content

    def hub_files(self, data_dir: Path | None) -> HubFiles | None:
        """Return what `load` takes from the hub: nothing if it has a `data_dir`."""
        return None if data_dir is not None else self._on_hub

    @property
    def _on_hub(self) -> HubFiles:
        return self.hub.remote(f"data_dir=DIR with {self.name}'s published files")


def read_json(path: Path) -> object:
    """Return the JSON in `path`, unpacked if the name ends in .gz."""
    content = read_content(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def rows_of(column: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a parquet cell: a list of structs, or the struct of lists that older `datasets` wrote."""
    if isinstance(column, Mapping):
        for values in zip(*column.values(), strict=True):
            yield dict(zip(column, values, strict=True))
    else:
        yield from column
