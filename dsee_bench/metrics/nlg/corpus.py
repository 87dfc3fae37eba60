"""A system's outputs beside their references, checked once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Corpus:
    """Outputs and, for each, its references: at least one, none of them empty. An empty output is kept and scored."""

    outputs: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    columns: int  # references a context could have had
    source: str  # where the references are from and how both sides were prepared; part of every signature

    def __post_init__(self) -> None:
        if not self.outputs:
            raise ValueError("there is no output to score; the file of hypotheses is empty")
        if len(self.outputs) != len(self.references):
            raise ValueError(
                f"{len(self.outputs)} outputs for {len(self.references)} groups of references; "
                f"give one line a context, in the order the test set first shows them"
            )
        bare = [number for number, group in enumerate(self.references, start=1) if not group]
        if bare:
            raise ValueError(
                f"{len(bare)} context(s) have no reference, the first is number {bare[0]}; "
                f"every context needs a text in at least one file of references"
            )

    def __len__(self) -> int:
        return len(self.outputs)

    def subset(self, keep: Sequence[bool]) -> "Corpus":
        """Return the outputs at which `keep` is true, with their references."""
        pairs = [pair for pair, kept in zip(zip(self.outputs, self.references, strict=True), keep, strict=True) if kept]
        outputs, references = zip(*pairs, strict=True)
        return replace(self, outputs=outputs, references=references)

    @property
    def padded(self) -> tuple[tuple[str, ...], ...]:
        """The references, with an empty text for each missing one."""
        width = max(self.columns, *map(len, self.references))
        return tuple((*group, *[""] * (width - len(group))) for group in self.references)

    @property
    def data(self) -> tuple[str, str]:
        """How many references there are and where they are from, for a signature."""
        sizes = sorted(map(len, self.references))
        return f"refs:{sizes[0]}" if sizes[0] == sizes[-1] else f"refs:{sizes[0]}-{sizes[-1]}", self.source


def corpus_of(outputs: Iterable[str], references: Iterable[Iterable[str]], *, columns: int, source: str) -> Corpus:
    """Return a checked Corpus; white space around a text goes, and empty references with it."""
    groups = tuple(tuple(text.strip() for text in group if text.strip()) for group in references)
    return Corpus(tuple(text.strip() for text in outputs), groups, columns, source)
