"""What a shell expects of a command: paths with `~`, `$NAME` and `${NAME}`, and a quiet end where a pipe closes."""

import argparse
import functools
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SPLITS = tuple(f"task.{name}{split}" for name in ("", "split.") for split in ("train", "dev", "test"))
TEXTS = tuple(
    f"task.{name}" for name in ("prompt", "target", "answer_pattern", "separator", "label_separator", "blank")
)
PATHS = ("data_dir", "results_dir", "export", "backbone.path", "task.hub", *SPLITS)


def as_in_a_shell(words: Iterable[str]) -> list[str]:
    """The words of a command, so quoted that Hydra hands them on as they are: `~` and `${NAME}` in paths, slices of
    splits (train[90%:]) and templates. It takes them for mistakes, or for settings of its own."""
    return [_quoted(word) for word in words]


def _quoted(word: str) -> str:
    key, _, value = word.partition("=")
    if key.lstrip("+") in TEXTS and value not in ("", "null") and value[:1] not in ("'", '"'):
        escaped = re.sub(r'(\\*)("|\Z)', lambda found: found[1] * 2 + ("\\" if found[2] else "") + found[2], value)
        return f'{key}="{escaped}"'
    bare = value[1:-1] if value[:1] in ("'", '"') and value[-1:] == value[:1] else value
    path = re.sub(r"(?<!\\)\$\{(?=[A-Z_][A-Z0-9_]*\})", r"\\${", bare)
    sliced = key.lstrip("+") in SPLITS and re.search(r"[^,\[]\[[^,\[\]]*:[^,\[\]]*\]", bare) is not None
    changed = path != bare or bare.startswith("~") or sliced
    if key.lstrip("+") not in PATHS or not changed or re.search("['\",]", bare):
        return word
    return f"{key}='{path}'"


def without_escapes(value: object) -> str:
    """The text of a word's value as the composed configuration has it."""
    return str(value).replace(r"\${", "${")


def argument_path(text: str) -> Path:
    """`shell_path` as the type of an argument of argparse."""
    try:
        return shell_path(text, "")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def shell_path(text: str, what: str) -> Path:
    """The path that `text` means in a shell: `~`, `$NAME` and `${NAME}` are replaced. ValueError, naming `what`, where
    one of them is not known."""
    names = [word or braced for word, braced in re.findall(r"\$(?:(\w+)|\{([^}]*)\})", text, re.ASCII)]
    unset = [name for name in names if name not in os.environ]
    named = f"{what}={text}" if what else text
    if unset:
        raise ValueError(f"{named}: the environment variable {unset[0]} is not set; set it, or write out the path")
    expanded = os.path.expandvars(os.path.expanduser(text))
    if expanded.startswith("~"):
        raise ValueError(f"{named}: there is no home folder of {expanded.split('/')[0]}; write ./{text} for a name")
    if "\0" in expanded or not expanded:
        raise ValueError(f"{named!r} is no path; give the name of a file or folder")
    return Path(expanded)


def until_the_reader_leaves(main: Callable[P, T]) -> Callable[P, T | int]:
    """Let a command end with code 0, and without a traceback, where its reader has closed the pipe (`| head`)."""

    @functools.wraps(main)
    def wrapped(*words: P.args, **named: P.kwargs) -> T | int:
        try:
            return main(*words, **named)
        except BrokenPipeError:
            return 0
        finally:
            _flush()

    return wrapped


def _flush() -> None:
    """Flush stdout. Where nobody reads it, the rest goes nowhere, or Python would complain of it at its end."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
