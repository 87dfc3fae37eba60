"""What a run that is forced has begun and made anew, so that one that was stopped goes on there.

The note lies in the run's work folder from the start of a forced run to a good record. It counts under force=true
alone: kept states that it does not name are then as good as gone.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from dsee_bench.record import write_atomically

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
        content = {"begun": sorted(found.begun), "made": sorted(found.made)}
        write_atomically(found.file, json.dumps(content) + "\n")
        return found


def read(work: Path) -> Forced | None:
    """The note in a work folder; None where no forced run is unfinished. A damaged one counts as begun just now."""
    file = work / NAME
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return Forced(file, frozenset(content["begun"]), frozenset(content["made"]))
    except (ValueError, KeyError, TypeError):
        return Forced(file)


def begin(work: Path) -> None:
    """A new note."""
    Forced(work / NAME)._noted(Forced(work / NAME))


def end(work: Path) -> None:
    (work / NAME).unlink(missing_ok=True)
