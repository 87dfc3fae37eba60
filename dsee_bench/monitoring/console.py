"""What a run says: on stderr for a person to follow, and all of it, with the time, in the run's log file.

Everything goes through the standard `logging`. Of libraries only warnings are told; progress bars are drawn past it, so
that none is in the file. Where no run is followed, as in a test of one function, nothing is told.
"""

import logging
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dsee_bench.system import secrets
from dsee_bench.system.files import make_room, opener, set_aside

OURS = "dsee_bench"
LIBRARIES = ("transformers", "datasets", "huggingface_hub", "torch")  # these print on stderr by handlers of their own
_logger = logging.getLogger(OURS)


def info(line: str) -> None:
    """A line for a person who follows the run; it does not tear a running bar."""
    _logger.info(line)


def warn(line: str) -> None:
    """Something went wrong, and the run goes on."""
    _logger.warning(line)


def error(text: str) -> None:
    """Why the run does not go on; told in a quiet run too."""
    _logger.error(text)


def output(text: str) -> None:
    """What a run is for, on stdout."""
    with suppress(BrokenPipeError):  # `| head` has gone; the record is there all the same
        print(secrets.starred(text), flush=True)
    debug(text)


def debug(text: str) -> None:
    """For the log file alone."""
    _logger.debug(text)


def draws_bars() -> bool:
    """Whether to draw a progress bar: on a terminal, unless the run is quiet or others beside it draw there too."""
    quiet = any(isinstance(handler, _Console) and handler.level > logging.INFO for handler in logging.root.handlers)
    return sys.stderr.isatty() and not quiet and not _beside_others()


@contextmanager
def logging_to(file: Path, run_id: str, command: str, *, quiet: bool) -> Iterator[None]:
    """Until the end of the block, tell what is said: on stderr (errors only, if quiet) and in `file`, after what it
    holds of earlier starts."""
    console = _Console(run_id)
    console.setLevel(logging.ERROR if quiet else logging.INFO)
    kept = _opened(file)
    dated = _Line("%(asctime)s %(kind)s%(message)s", "%Y-%m-%dT%H:%M:%SZ")
    dated.converter = time.gmtime
    kept.setFormatter(dated)
    for handler in (console, kept):
        handler.addFilter(_wanted)
    libraries = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger, logger.handlers, logger.propagate) for logger in (logging.root, *libraries)]
    level = _logger.level
    logging.root.handlers = [console, kept]  # in the place of Hydra's, which would print every line once more
    _logger.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    try:
        debug(f"=== {command}  (process {os.getpid()})")
        yield
    finally:
        logging.captureWarnings(False)
        _logger.setLevel(level)
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        kept.close()


def _opened(file: Path) -> "_File":
    """The log file, after what it holds; what cannot be written to is set aside."""
    try:
        make_room(file)
        return _File(file, encoding="utf-8")
    except OSError as error:
        set_aside(file, f"cannot be written to ({error.strerror})")
        return _File(file, encoding="utf-8")


def capture_libraries() -> None:
    """Libraries that are imported by now tell their warnings through our handlers, not past them."""
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True


def _beside_others() -> bool:
    """Whether this is a worker process of a sweep, which shares its terminal with others."""
    return multiprocessing.parent_process() is not None


def _wanted(record: logging.LogRecord) -> bool:
    record.kind = "warning: " if record.levelno == logging.WARNING else ""
    return record.name.partition(".")[0] == OURS or record.levelno >= logging.WARNING


class _Line(logging.Formatter):
    """A line, or a traceback, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return secrets.starred(super().format(record))


class _Console(logging.Handler):
    """Lines on stderr; of several runs at once, each with its run's name."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.setFormatter(_Line("%(kind)s%(message)s"))
        self._name = f"[{run_id}] " if _beside_others() else ""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        lines = self.format(record).splitlines()
        with suppress(OSError):  # whoever followed has gone (`2>&1 | head`); the run goes on, and the file has it all
            tqdm.write("\n".join(self._name + line for line in lines), file=sys.stderr)


class _File(logging.FileHandler):
    """The log file. A disk that is full costs lines of it, and not the run."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=opener)

    def handleError(self, record: logging.LogRecord) -> None:
        return

    def close(self) -> None:
        with suppress(OSError):
            super().close()
