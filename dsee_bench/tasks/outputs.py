"""A system's outputs as people hand them in: one text a line, or a table with the context beside the output.

The table is the E2E challenge's form: TAB between the two, quotes of either kind around them or none, a header or none,
or `"context","output"` lines. Its scorer mends four letters that went through a wrong encoding; so does `mended`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsee_bench.tasks.rows import read_lines

HEADER = re.compile(r"(mr|context|input|source|src|meaning_representation)", re.IGNORECASE)
MENDED = {"Ł": "£", "Â£": "£", "Ã©": "é", "ã©": "é"}


@dataclass(frozen=True)
class Outputs:
    """The texts in the file's order; `contexts` stand beside them in a table, else None."""

    path: Path
    texts: tuple[str, ...]
    contexts: tuple[str, ...] | None


def read_texts(path: Path) -> list[str]:
    """The lines of a UTF-8 file, ended by LF or CR LF; ValueError if there is none."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    lines = [line.removesuffix("\r") for _, line in read_lines(path)]
    if not lines:
        raise ValueError(f"{path} is empty: it must have one text a line")
    return lines


def read_outputs(path: Path) -> Outputs:
    """The outputs in `path`; a file whose first line holds a TAB, or whose every line is `"..","..."`, is a table."""
    lines = read_texts(path)
    filled = [line for line in lines if line.strip()]
    if filled and "\t" in filled[0]:
        return _table(path, lines, "\t")
    if filled and all(line.startswith('"') and line.count('","') == 1 for line in filled):
        return _table(path, lines, '","')
    return Outputs(path, tuple(lines), None)


def _table(path: Path, lines: Sequence[str], between: str) -> Outputs:
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue  # in a table an empty output still has its context
        fields = line.split(between)
        if len(fields) != 2:
            raise ValueError(
                f"{path}, line {number}: expected context and output, found {len(fields)} fields: {line[:80]!r}"
            )
        rows.append((unquoted(fields[0]), unquoted(fields[1])))
    if HEADER.fullmatch(rows[0][0]):
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{path} is empty: it has a header and no output")
    contexts, texts = zip(*rows, strict=True)
    return Outputs(path, texts, contexts)


def unquoted(field: str) -> str:
    """`field` without white space and one quote mark at either end, as the challenge's scorer reads it."""
    doubled = field.strip().startswith('"')
    text = re.sub(r"""^\s*['"]?\s*|\s*['"]?\s*$""", "", field)
    return text.replace('""', '"') if doubled else text


def mended(text: str) -> str:
    """`text` with the challenge's four repairs."""
    for wrong, right in MENDED.items():
        text = text.replace(wrong, right)
    return text


def in_order(outputs: Outputs, contexts: Sequence[str], normal: Callable[[str], str]) -> list[str]:
    """The output for each of `contexts`, which may repeat; `normal` gives contexts of several forms one form.

    Without contexts of its own a file has a line for each of `contexts`, or one for each different one.
    """
    different = list(dict.fromkeys(contexts))
    if outputs.contexts is None:
        if len(outputs.texts) == len(contexts):
            return list(outputs.texts)
        if len(outputs.texts) == len(different):
            by_context = dict(zip(different, outputs.texts, strict=True))
            return [by_context[context] for context in contexts]
        or_different = (
            f" (or {len(different)}, one for each different context)" if len(different) < len(contexts) else ""
        )
        raise ValueError(
            f"{outputs.path} has {len(outputs.texts)} lines, the split has {len(contexts)} contexts{or_different}; "
            f"give one line a context, an empty line for an empty output, in the order the split first shows them"
        )
    return _matched(outputs, contexts, normal)


def _matched(outputs: Outputs, contexts: Sequence[str], normal: Callable[[str], str]) -> list[str]:
    beside: dict[str, list[str]] = {}
    for context, text in zip(outputs.contexts or (), outputs.texts, strict=True):
        beside.setdefault(normal(context), []).append(text)
    unknown = [context for context in beside if context not in set(contexts)]
    missing = [context for context in dict.fromkeys(contexts) if context not in beside]
    if unknown or missing:
        raise ValueError(
            f"{outputs.path} has {len(beside)} different contexts, the split has {len(set(contexts))}: "
            f"{len(missing)} have no output{_first(missing)}, {len(unknown)} are not of the split{_first(unknown)}"
        )
    for context, texts in beside.items():
        wanted = contexts.count(context)
        if len(texts) != wanted and len(set(texts)) > 1:
            raise ValueError(f"{outputs.path} has {len(texts)} different outputs for one context: {context!r}")
        beside[context] = texts if len(texts) == wanted else texts[:1] * wanted
    waiting = {context: iter(texts) for context, texts in beside.items()}
    return [next(waiting[context]) for context in contexts]


def _first(contexts: Sequence[str]) -> str:
    return f" (the first is {contexts[0]!r})" if contexts else ""
