"""A system's outputs as people hand them in: one text a line, or a table with the context beside the output.

The table is the E2E challenge's form: TAB between the two, quotes of either kind around them or none, a header or none,
or `"context","output"` lines. Its scorer repairs four letters that went through a wrong encoding; so does `repaired`.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsee_bench.tasks.rows import read_lines

HEADER = re.compile(r"(mr|context|input|source|src|meaning_representation)", re.IGNORECASE)
REPAIRS = {"Ł": "£", "Â£": "£", "Ã©": "é", "ã©": "é"}


@dataclass(frozen=True)
class Hypotheses:
    """The texts in the file's order; `contexts` stand beside them in a table, else None."""

    path: Path
    texts: tuple[str, ...]
    contexts: tuple[str, ...] | None


def read_texts(path: Path) -> list[str]:
    """Return the lines of a UTF-8 file, ended by LF or CR LF; ValueError if there is none."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    lines = [line.removesuffix("\r") for _, line in read_lines(path)]
    if not lines:
        raise ValueError(f"{path} is empty: it must have one text a line")
    return lines


def read_hypotheses(path: Path) -> Hypotheses:
    """Read the outputs in `path`; it is a table if its first line holds a TAB or every line is `"..","..."`."""
    lines = read_texts(path)
    filled = [line for line in lines if line.strip()]
    if filled and "\t" in filled[0]:
        return _table(path, lines, "\t")
    if filled and all(line.startswith('"') and line.count('","') == 1 for line in filled):
        return _table(path, lines, '","')
    return Hypotheses(path, tuple(lines), None)


def _table(path: Path, lines: Sequence[str], between: str) -> Hypotheses:
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
    return Hypotheses(path, texts, contexts)


def unquoted(field: str) -> str:
    """Return `field` without white space and one quote mark at either end, as the challenge's scorer reads it."""
    doubled = field.strip().startswith('"')
    text = re.sub(r"""^\s*['"]?\s*|\s*['"]?\s*$""", "", field)
    return text.replace('""', '"') if doubled else text


def repaired(text: str) -> str:
    """Return `text` with the challenge's four repairs."""
    for wrong, right in REPAIRS.items():
        text = text.replace(wrong, right)
    return text


def aligned(hypotheses: Hypotheses, contexts: Sequence[str], normal: Callable[[str], str]) -> list[str]:
    """Return the output for each of `contexts`, which may repeat; `normal` gives contexts of several forms one form.

    Without contexts of its own a file has a line for each of `contexts`, or one for each different one.
    """
    texts, different = hypotheses.texts, list(dict.fromkeys(contexts))
    if hypotheses.contexts is not None:
        return _matched(hypotheses, contexts, normal)
    if len(texts) == len(contexts):
        return list(texts)
    if len(texts) == len(different):
        by_context = dict(zip(different, texts, strict=True))
        return [by_context[context] for context in contexts]
    or_different = f" (or {len(different)}, one for each different context)" if len(different) < len(contexts) else ""
    raise ValueError(
        f"{hypotheses.path} has {len(texts)} lines, the split has {len(contexts)} contexts{or_different}; "
        f"give one line a context, an empty line for an empty output, in the order the split first shows them"
    )


def _matched(hypotheses: Hypotheses, contexts: Sequence[str], normal: Callable[[str], str]) -> list[str]:
    by_context: dict[str, list[str]] = {}
    for context, text in zip(hypotheses.contexts or (), hypotheses.texts, strict=True):
        by_context.setdefault(normal(context), []).append(text)
    counts = Counter(contexts)
    unknown = [context for context in by_context if context not in counts]
    missing = [context for context in counts if context not in by_context]
    if unknown or missing:
        raise ValueError(
            f"{hypotheses.path} has {len(by_context)} different contexts, the split has {len(counts)}: "
            f"{len(missing)} have no output{_first(missing)}, {len(unknown)} are not of the split{_first(unknown)}"
        )
    for context, texts in by_context.items():
        if len(texts) != counts[context]:
            if len(set(texts)) > 1:
                raise ValueError(f"{hypotheses.path} has {len(texts)} different outputs for one context: {context!r}")
            by_context[context] = texts[:1] * counts[context]
    in_turn = {context: iter(texts) for context, texts in by_context.items()}
    return [next(in_turn[context]) for context in contexts]


def _first(contexts: Sequence[str]) -> str:
    return f" (the first is {contexts[0]!r})" if contexts else ""
