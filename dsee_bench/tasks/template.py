"""Templates of prompts and targets: `summarize: {document} ->`, filled with the cells of a row.

`{document}` is the text, number, or list of texts of that column. A dotted path reaches into nested cells:
`{answers.text}`, also written `{answers[text]}`, is what SQuAD's answers hold as text, in either of the two layouts
that files have (an object of lists, or a list of objects); `{choices.0}` is the first of a list. A column whose own
name has a dot comes first. `{{` and `}}` are braces, and `\\n` and `\\t` a line feed and a TAB, which a command line
cannot hold.

`{sentence|mark(start,end)}` puts asterisks around a part of a text, given by the columns of its first character and the
one after its last, or of the number of its first word, from 0, and the text of the part:
`{text|mark(span1_index,span1_text)}`. Several marks may follow each other.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from dsee_bench.system.errors import shown
from dsee_bench.tasks.example import encodable
from dsee_bench.tasks.labels import spelled
from dsee_bench.tasks.rows import Row

PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|\\[nt]")
MARK = re.compile(r"mark\(([^(),]+),([^(),]+)\)")
LITERAL = {"{{": "{", "}}": "}", "\\n": "\n", "\\t": "\t"}


@dataclass(frozen=True)
class Template:
    """A text with places for cells; ValueError for braces that name no column."""

    text: str

    def __post_init__(self) -> None:
        for part in PARTS.finditer(self.text):
            if part[0] in ("{", "}"):
                raise ValueError(f"{self.text!r} has a single {part[0]!r}; a brace that stands for itself is doubled")
            if part[1] is not None and not _steps(part[1]):
                raise ValueError(f"{self.text!r} has braces around {part[1]!r}, which names no column")
        if not self.paths:
            raise ValueError(f"{self.text!r} names no column; write one in braces, as in 'summarize: {{document}} ->'")

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The columns and dotted paths it names, each once."""
        return tuple(dict.fromkeys(part[1] for part in PARTS.finditer(self.text) if part[1] is not None))

    def fill(self, row: Row) -> str:
        """Return the text of a row; the texts of a list stand one after the other with a space between."""
        return self._filled({path: " ".join(texts_at(row, path)) for path in self.paths})

    def fill_each(self, row: Row) -> tuple[str, ...]:
        """Return the texts of a row: one for each text of the list that a place names, else one."""
        cells = {path: texts_at(row, path) for path in self.paths}
        lists = [path for path in self.paths if is_list(row, path)]
        if len(lists) > 1:
            raise ValueError(f"{row.where}: {' and '.join(lists)} each hold a list; a target takes one list at most")
        if not lists:
            return (self.fill(row),)
        single = {path: " ".join(texts) for path, texts in cells.items()}
        return tuple(self._filled({**single, lists[0]: text}) for text in cells[lists[0]])

    def _filled(self, cells: Mapping[str, str]) -> str:
        return PARTS.sub(lambda part: LITERAL[part[0]] if part[1] is None else cells[part[1]], self.text)


def escaped(text: str) -> str:
    """Return a text with the line feeds and TABs that a command line writes as `\\n` and `\\t`."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def texts_at(row: Row, path: str) -> tuple[str, ...]:
    """Return the text at a path of a row, or the texts of the list there; a number is spelled as files spell it.

    ValueError names row and path where there is no such cell, or no text in it.
    """
    if "|" in path and path not in row.cells:
        return (_marked(row, path),)
    value = cell_at(row, path)
    values = value if isinstance(value, list | tuple) else [value]
    texts = [spelled(item) for item in values]
    for text in texts:
        if not isinstance(text, str):
            hint = f"; name one of {', '.join(text)} below it" if isinstance(text, Mapping) else ""
            raise ValueError(f"{row.where}: expected a text in {path!r}, found {shown(text)}{hint}")
        if not encodable(text):
            raise ValueError(f"{row.where}: {path!r} holds half a surrogate pair, which is no character")
    return tuple(texts)


def _marked(row: Row, path: str) -> str:
    """Return the text of `column|mark(a,b)` with asterisks around each part that a mark names."""
    column, *marks = (piece.strip() for piece in path.split("|"))
    (text,) = texts_at(row, column)
    for begin, end in sorted((_span(row, text, mark) for mark in marks), reverse=True):
        text = f"{text[:begin]}*{text[begin:end]}*{text[end:]}"
    return text


def _span(row: Row, text: str, mark: str) -> tuple[int, int]:
    found = MARK.fullmatch(mark)
    if found is None:
        raise ValueError(f"{{...|{mark}}} is not known; write {{TEXT|mark(START,END)}} with the columns of two places")
    first, second = (cell_at(row, name.strip()) for name in found.groups())
    place = int(first) if isinstance(first, int) or (isinstance(first, str) and first.isdigit()) else -1
    if isinstance(second, int) or (isinstance(second, str) and second.isdigit()):
        begin, end = place, int(second)
    else:
        words = [word.start() for word in re.finditer(r"\S+", text)]
        begin = text.lower().find(str(second).lower(), words[place]) if 0 <= place < len(words) else -1
        end = begin + len(str(second))
    if not 0 <= begin < end <= len(text):
        raise ValueError(f"{row.where}: {mark} names no part of {shown(text)}: {shown(first)} and {shown(second)}")
    return begin, end


def filled(row: Row, column: str) -> object:
    """Return the cell of a column or at a dotted path, or the text of a `column` with braces, which is a template."""
    if column in row.cells:
        return row.cells[column]
    if "{" in column:
        return Template(column).fill(row)
    if "." in column:
        return cell_at(row, column)
    raise ValueError(f"{row.where}: no column {column!r}; the columns are {', '.join(row.cells)}")


def is_list(row: Row, path: str) -> bool:
    """Return whether a list stands at a path of a row."""
    return isinstance(cell_at(row, path), list | tuple)


def has(row: Row, path: str) -> bool:
    """Return whether a row has something at a path: neither no cell nor null."""
    try:
        return cell_at(row, path) is not None
    except ValueError:
        return False


def cell_at(row: Row, path: str) -> object:
    """Return what stands at a dotted path of a row; ValueError naming the row where nothing does."""
    if path in row.cells:
        return row.cells[path]
    value: object = row.cells
    for step in _steps(path):
        found = _below(value, step)
        if found is None:
            there = (
                ", ".join(map(str, value)) if isinstance(value, Mapping) else f"{shown(value)}, which has no {step!r}"
            )
            what = "column" if value is row.cells else "field"
            raise ValueError(f"{row.where}: no {what} {step!r} for {{{path}}}; there is {there or 'nothing'}")
        (value,) = found
    return value


def _below(value: object, step: str) -> tuple[object] | None:
    """Return, in a tuple, what `step` names below a value; None where it names nothing."""
    if isinstance(value, Mapping):
        return (value[step],) if step in value else None
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    if re.fullmatch(r"-?\d+", step):
        return (value[int(step)],) if -len(value) <= int(step) < len(value) else None
    inner = [_below(item, step) for item in value]  # a list of objects: of each its own
    return None if not all(inner) else ([item for (item,) in inner if item is not None],)  # type: ignore[misc]


def _steps(path: str) -> list[str]:
    """Return the names along a path: "answers[text].0" and "answers.text.0" are the same."""
    steps = [step.strip() for step in re.sub(r"\[([^\[\]]*)\]", r".\1", path).split(".")]
    return steps if all(steps) else []
