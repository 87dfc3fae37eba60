"""Mistakes of a user: one or two lines say what is wrong, without a record or a traceback."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dsee_bench.system.files import write_atomically

FILE = "mistake.txt"  # in the work folder of a run that could not start: the reason, for `dsee-report status`
LONGEST = 700  # characters of a message; those of libraries may run over pages
READING = (ValueError, OSError)  # what readers of data raise for an input that cannot be


class UserError(ValueError):
    """A mistake of the user. The message names the thing, its value, the rule and the way out."""


@contextlib.contextmanager
def as_mistake(kinds: tuple[type[Exception], ...] = READING, where: str = "") -> Iterator[None]:
    """Turn errors of `kinds` in the block into a UserError of one line that begins with `where`."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except kinds as error:
        raise UserError(one_line(f"{where}{error}" if str(error) else f"{where}{type(error).__name__}")) from error


def one_line(text: str) -> str:
    """Join white space to single spaces and cut the text to LONGEST characters."""
    joined = " ".join(text.split())
    return joined if len(joined) <= LONGEST else f"{joined[: LONGEST - 4]} ..."


def shown(value: object) -> str:
    """Return `repr(value)`, cut to 60 characters, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]} ..."


def remember(work: Path, error: UserError) -> None:
    """Write the reason into the work folder; no error where nothing can be written."""
    with contextlib.suppress(OSError):
        write_atomically(work / FILE, f"{error}\n")


def forget(work: Path) -> None:
    """Remove the reason, when the run starts again."""
    with contextlib.suppress(OSError):
        (work / FILE).unlink(missing_ok=True)


def remembered(work: Path) -> str | None:
    """Return why the run's last start was refused; None if it was not."""
    with contextlib.suppress(OSError):
        return (work / FILE).read_text(encoding="utf-8", errors="replace").strip()
    return None
