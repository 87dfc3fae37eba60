"""The messages of a run: on stderr for a person, and all of them, with the time, in the run's log file.

Everything goes through the standard `logging`. Libraries contribute warnings only; progress bars bypass it, so that
none is in the file. Outside `logging_to`, as in a test of one function, nothing is printed.
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
    """Log a line for a person who follows the run; it does not break a running bar."""
    _logger.info(line)


def warn(line: str) -> None:
    """Log that something went wrong and the run goes on."""
    _logger.warning(line)


def error(text: str) -> None:
    """Log why the run does not go on; a quiet run prints it too."""
    _logger.error(text)


def output(text: str) -> None:
    """Print the result of a run on stdout, and log it."""
    with suppress(BrokenPipeError):  # `| head` has ended; the record has it all the same
        print(secrets.starred(text), flush=True)
    debug(text)


def debug(text: str) -> None:
    """Log a line to the file alone."""
    _logger.debug(text)


def draws_bars() -> bool:
    """Return whether to draw a progress bar: on a terminal that no other run uses, unless the run is quiet."""
    quiet = any(isinstance(handler, _Console) and handler.level > logging.INFO for handler in logging.root.handlers)
    return sys.stderr.isatty() and not quiet and not _shares_terminal()


@contextmanager
def logging_to(file: Path, run_id: str, command: str, *, quiet: bool) -> Iterator[None]:
    """Until the end of the block, print messages on stderr (errors only, if quiet) and append them to `file`."""
    console = _Console(run_id)
    console.setLevel(logging.ERROR if quiet else logging.INFO)
    log = _opened(file)
    dated = _Line("%(asctime)s %(kind)s%(message)s", "%Y-%m-%dT%H:%M:%SZ")
    dated.converter = time.gmtime
    log.setFormatter(dated)
    for handler in (console, log):
        handler.addFilter(_wanted)
    libraries = [logging.getLogger(name) for name in LIBRARIES]
    before = [(logger, logger.handlers, logger.propagate) for logger in (logging.root, *libraries)]
    level = _logger.level
    logging.root.handlers = [console, log]  # instead of Hydra's, which would print every line again
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
        log.close()


@contextmanager
def printing() -> Iterator[None]:
    """Until the end of the block, print messages on stderr, for a command that is no run and has no log file."""
    handler = logging.StreamHandler()
    level = _logger.level
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        _logger.setLevel(level)
        _logger.removeHandler(handler)


def _opened(file: Path) -> "_File":
    """Open the log file to append; one that cannot be written to is set aside."""
    try:
        make_room(file)
        return _File(file, encoding="utf-8")
    except OSError as error:
        set_aside(file, f"cannot be written to ({error.strerror})")
        return _File(file, encoding="utf-8")


def capture_libraries() -> None:
    """Send the warnings of libraries that are imported by now through our handlers."""
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True


def _shares_terminal() -> bool:
    """Whether this process runs one run of a sweep, and others use the same terminal."""
    return multiprocessing.parent_process() is not None


def _wanted(record: logging.LogRecord) -> bool:
    record.kind = "warning: " if record.levelno == logging.WARNING else ""
    return record.name.partition(".")[0] == OURS or record.levelno >= logging.WARNING


class _Line(logging.Formatter):
    """A line, or a traceback, without secrets."""

    def format(self, record: logging.LogRecord) -> str:
        return secrets.starred(super().format(record))


class _Console(logging.Handler):
    """Lines on stderr; with the run's name first where several runs use the terminal."""

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.setFormatter(_Line("%(kind)s%(message)s"))
        self._name = f"[{run_id}] " if _shares_terminal() else ""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        lines = self.format(record).splitlines()
        with suppress(OSError):  # the reader has ended (`2>&1 | head`); the run goes on, and the file has all lines
            tqdm.write("\n".join(self._name + line for line in lines), file=sys.stderr)


class _File(logging.FileHandler):
    """The log file. A full disk costs lines of the log, not the run."""

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=opener)

    def handleError(self, record: logging.LogRecord) -> None:
        return

    def close(self) -> None:
        with suppress(OSError):
            super().close()
