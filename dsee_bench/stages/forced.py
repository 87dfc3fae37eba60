"""What a run that is forced has begun and made anew, so that one that was stopped goes on there.

The note lies in the run's work folder from the start of a forced run to a good record. It counts under force=true
alone: kept states that it does not name are then as good as gone.
"""

from dataclasses import dataclass
from pathlib import Path

from dsee_bench.system import jsonl

NAME = "forced.json"


@dataclass(frozen=True)
class Forced:
    """Keys of the states whose tuning was begun anew, and of those that are made."""

    file: Path
    begun: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()

    def with_begun(self, key: str) -> "Forced":
        return self._noted(Forced(self.file, self.begun | {key}, self.made))

    def with_made(self, key: str) -> "Forced":
        return self._noted(Forced(self.file, self.begun, self.made | {key}))

    def _noted(self, found: "Forced") -> "Forced":
        jsonl.write(found.file, [{"begun": sorted(found.begun), "made": sorted(found.made)}])
        return found


def read(work: Path) -> Forced | None:
    """The note in a work folder; None where no forced run is unfinished, or the note is damaged: all begins anew."""
    rows = jsonl.read(work / NAME)
    return Forced(work / NAME, frozenset(rows[0]["begun"]), frozenset(rows[0]["made"])) if rows else None


def begin(work: Path) -> None:
    """A new note."""
    Forced(work / NAME)._noted(Forced(work / NAME))


def end(work: Path) -> None:
    (work / NAME).unlink(missing_ok=True)
