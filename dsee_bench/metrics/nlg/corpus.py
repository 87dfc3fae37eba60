"""A system's outputs beside their references, checked once, and what a metric says of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Corpus:
    """Outputs and, for each, its references: at least one, none of them empty. An empty output is kept and scored."""

    outputs: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    columns: int  # reference texts a context could have had: multi-bleu counts the missing ones as empty
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

    def part(self, keep: Sequence[bool]) -> "Corpus":
        """The outputs at which `keep` is true, with their references."""
        chosen = [index for index, kept in zip(range(len(self)), keep, strict=True) if kept]
        outputs, references = (tuple(side[index] for index in chosen) for side in (self.outputs, self.references))
        return Corpus(outputs, references, self.columns, self.source)  # type: ignore[arg-type]

    def streams(self, missing: str | None) -> list[list[str | None]]:
        """The references as sacrebleu takes them: one list a column, `missing` where a context has fewer."""
        width = max(self.columns, *map(len, self.references))
        padded = [group + (missing,) * (width - len(group)) for group in self.references]
        return [list(column) for column in zip(*padded, strict=True)]

    def counted(self) -> str:
        """How many references there are, for a signature."""
        sizes = sorted(map(len, self.references))
        return f"refs:{sizes[0]}" if sizes[0] == sizes[-1] else f"refs:{sizes[0]}-{sizes[-1]}"


def corpus_of(outputs: Iterable[str], references: Iterable[Iterable[str]], *, columns: int, source: str) -> Corpus:
    """A checked Corpus; white space around a text goes, and empty references with it."""
    groups = tuple(tuple(text.strip() for text in group if text.strip()) for group in references)
    return Corpus(tuple(text.strip() for text in outputs), groups, columns, source)


@dataclass(frozen=True)
class Parts:
    """A score as a function of sums over the outputs: what a bootstrap draws from."""

    rows: tuple[tuple[float, ...], ...]  # one an output
    whole: Callable[[Sequence[float]], float]  # the score that the rows' sums make


def mean_of(values: Iterable[float]) -> Parts:
    """The parts of a score that is the mean of the outputs' own."""
    return Parts(tuple((float(value), 1.0) for value in values), ratio)


def ratio(sums: Sequence[float]) -> float:
    """The first sum over the second."""
    return sums[0] / sums[1]


@dataclass(frozen=True)
class Measured:
    """A metric's value, None with the reason where it could not be had, and how it was made."""

    value: float | None
    signature: str
    reason: str | None = None
    parts: Parts | None = None  # None where the score is more than sums over outputs


def signed(corpus: Corpus, metric: str, *settings: str, package: str | None = None) -> str:
    """A signature: the metric, its settings, the references, and the release that computes it.

    `package` is the distribution; None where the code is our own.
    """
    maker = "dsee-bench" if package is None else package
    return "|".join((metric, *settings, corpus.counted(), corpus.source, f"{maker} {version(maker)}"))
