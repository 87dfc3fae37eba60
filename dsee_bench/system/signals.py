"""Ctrl-C and SIGTERM stop a run, even where they arrive at a bad moment.

A KeyboardInterrupt that is raised inside a finalizer or a callback from C is printed and lost. So the signal is also
noted, and training asks at every step.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # exit code of an interrupted run, as in shells
_REQUESTED = threading.Event()
_DEFERRED = threading.Event()


def listen() -> None:
    """Have SIGINT and SIGTERM raise KeyboardInterrupt and be remembered; forget earlier ones."""
    _REQUESTED.clear()
    _DEFERRED.clear()
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)


def defer() -> None:
    """Only remember signals from here on, while something short is written that must not be lost."""
    _DEFERRED.set()


def resume() -> None:
    """Let signals raise KeyboardInterrupt again."""
    _DEFERRED.clear()


@contextmanager
def held_back(*numbers: int) -> Iterator[None]:
    """Deliver these signals afterwards: what their handlers raise may be caught inside an import.

    Handlers written in Python are replaced; no others raise. Blocking the signals would not do: another thread would
    take them.
    """
    came: list[int] = []
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in before:
        signal.signal(number, lambda one, _: came.append(one))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)


def stop_requested() -> bool:
    """Return whether the run was asked to stop."""
    return _REQUESTED.is_set()


def raise_if_stopped() -> None:
    """Raise KeyboardInterrupt if the run was asked to stop."""
    if stop_requested():
        raise KeyboardInterrupt


def _stop(_: int, __: FrameType | None) -> None:
    _REQUESTED.set()
    if not _DEFERRED.is_set():
        raise KeyboardInterrupt
