"""What the commands print: without secrets, and in letters that the terminal has."""

import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dsee_bench.system import secrets


class _Starred:
    """A stream that stars secrets in what is written to it; all else is the stream's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(secrets.starred(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def prepare(words: Sequence[str]) -> None:
    """Learn the secrets in the words of the command; from here on stdout and stderr show none, and what a terminal has
    no letter for is replaced."""
    secrets.learn(words)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Starred):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        setattr(sys, name, _Starred(stream))


def version_text(command: str) -> str:
    """The command and its version, as `--version` prints them."""
    return f"{command} {package_version()}"


def package_version() -> str:
    """The version in pyproject.toml, by way of what was installed."""
    try:
        return version("dsee-bench")
    except PackageNotFoundError:  # the code lies beside the interpreter, and nothing was installed
        return "unknown"
