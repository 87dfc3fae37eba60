"""Ctrl-C and SIGTERM stop a run, even where they arrive at a bad moment.

A KeyboardInterrupt that is raised inside a finalizer or a callback from C is printed and lost. So the signal is also
noted, and training asks at every step.
"""

import signal
import threading
from types import FrameType

STOPPED = 130  # exit code of a run that was stopped, as shells have it
_ASKED = threading.Event()
_HELD = threading.Event()


def listen() -> None:
    """From here on SIGINT and SIGTERM raise KeyboardInterrupt and are remembered; earlier ones are forgotten."""
    _ASKED.clear()
    _HELD.clear()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)


def hold() -> None:
    """From here on they are only remembered: what is to be written now is short, and must not be lost."""
    _HELD.set()


def let_go() -> None:
    """They raise KeyboardInterrupt again."""
    _HELD.clear()


def asked() -> bool:
    """Whether the run was asked to stop."""
    return _ASKED.is_set()


def check() -> None:
    """Raise KeyboardInterrupt if the run was asked to stop."""
    if asked():
        raise KeyboardInterrupt


def _stop(_: int, __: FrameType | None) -> None:
    _ASKED.set()
    if not _HELD.is_set():
        raise KeyboardInterrupt
