"""Which rows a split is made of, written as `datasets` writes it: train[:90%], data.csv[-100:], train+validation.

A part names a split, or files; a slice in brackets takes some of its rows. `ReadInstruction` of `datasets` reads the
slice, so percentages round as they do there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FILE = re.compile(r"\w\.\w+(#[\w.]+)?$|[*?/]")  # it has an ending, or is a pattern or path; rows under a key
SLICED = re.compile(r"(?P<name>.+?)(?P<slice>\[[-\d_%]*:[-\d_%]*\](\(\w+\))?)?", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """A split's name or a file (or pattern), and the slice of its rows; "" for all."""

    name: str
    slice: str = ""

    @property
    def is_file(self) -> bool:
        return FILE.search(self.name) is not None

    def bounds(self, rows: int) -> tuple[int, int]:
        """Return the first row and the one after the last, of `rows`."""
        from datasets import ReadInstruction

        try:
            (found,) = ReadInstruction.from_spec(f"rows{self.slice}").to_absolute({"rows": rows})
        except (ValueError, AssertionError) as error:
            raise ValueError(f"{self.name}{self.slice}: {error}; write [FROM:TO] in rows or percent") from error
        return found.from_, max(found.from_, found.to)


def parts_of(expression: str) -> tuple[Part, ...]:
    """Return the parts of an expression: all are files, or all are names; else a plus sign is part of one name."""
    pieces = tuple(_part(piece.strip()) for piece in expression.split("+"))
    files = [piece.is_file for piece in pieces]
    if all(files) or (not any(files) and all(re.fullmatch(r"[\w.-]+", piece.name) for piece in pieces)):
        return pieces
    return (_part(expression),)


def _part(text: str) -> Part:
    found = SLICED.fullmatch(text)
    return Part(text) if found is None else Part(found["name"], found["slice"] or "")


@dataclass(frozen=True)
class Interval:
    """Rows of the same files: from the first to the one before `end`; None: to the last."""

    files: tuple[str, ...]
    begin: int
    end: int | None

    @property
    def is_slice(self) -> bool:
        return self.begin > 0 or self.end is not None


def resolve(
    expression: str, files_of: Callable[[str], Sequence[str]], count: Callable[[tuple[str, ...]], int]
) -> list[Interval]:
    """Return the rows that an expression stands for; `files_of` gives the files of a split's name or of a pattern."""
    intervals = []
    for part in parts_of(expression):
        files = tuple(files_of(part.name))
        if part.slice:
            begin, end = part.bounds(count(files))
            intervals.append(Interval(files, begin, end))
        else:
            intervals.append(Interval(files, 0, None))
    return intervals


def without(
    taken: Sequence[Interval], rows: Sequence[Interval], count: Mapping[tuple[str, ...], int]
) -> list[Interval]:
    """Return `rows` without those of `taken`; both of files whose rows are counted."""
    left = list(rows)
    for other in taken:
        end = count[other.files] if other.end is None else other.end
        left = [
            piece
            for one in left
            for piece in (_cut(one, other.begin, end, count[one.files]) if one.files == other.files else [one])
        ]
    return left


def _cut(interval: Interval, begin: int, end: int, rows: int) -> list[Interval]:
    last = rows if interval.end is None else interval.end
    if end <= interval.begin or begin >= last:
        return [interval]
    pieces = [(interval.begin, begin), (end, last)]
    return [Interval(interval.files, start, stop) for start, stop in pieces if start < stop]
