"""Rows of multiple choice: a context, its choices, and which of them is right.

The choices stand in columns of their own (COPA: choice1, choice2), or in one column that holds a list (HellaSwag:
endings), a list of objects, or an object of lists with `text` and `label` (ARC), or of names and texts (MedQA). Rows
may have different numbers of choices. The answer is the label of a choice, the name of its place (0, 1, ... or 1, 2,
... or A, B, ...), or its text.
"""

import json
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dsee_bench.monitoring.console import warn
from dsee_bench.system.errors import shown
from dsee_bench.tasks.example import Question
from dsee_bench.tasks.labelled import check_columns, text_of
from dsee_bench.tasks.labels import spelled
from dsee_bench.tasks.rows import Row
from dsee_bench.tasks.template import filled

NO_ANSWER = ("", "-1", "None")  # what a column of answers holds where nobody knows the answer


@dataclass(frozen=True)
class Choosing:
    """How a row becomes a question."""

    texts: tuple[str, ...]  # columns of the context, joined by a space
    choices: tuple[str, ...]  # a column for each, or the one that holds them all
    label: str | None  # column of the answer; None: no row has one
    names: tuple[str, ...] = ()  # of the places; () where rows name their choices, or answer by their text
    by_index: bool = False  # the answer is the place, from 0
    blank: str | None = None  # mark in the context where the choice belongs

    def question(self, row: Row) -> Question | None:
        """Return the question of a row; None where its answer is not known."""
        check_columns(row, () if self.label is None else (self.label,))
        contexts = [text_of(row, f"column {column!r}", filled(row, column)) for column in self.texts]
        context = " ".join(text.strip() for text in contexts if text.strip())
        if not context:
            raise ValueError(f"{row.where}: expected a text in column {self.texts[0]!r}, found nothing")
        labels, texts = self.offered(row)
        place = None if self.label is None else self.place(row, labels, texts)
        if self.label is not None and place is None:
            return None
        return self._filled(row, Question((context,) * len(texts), texts, place))

    def _filled(self, row: Row, question: Question) -> Question:
        """Return the question with each choice in the blank, and what follows the blank as the second text."""
        if self.blank is None:
            return question
        before, mark, after = question.contexts[0].partition(self.blank)
        if not mark:
            raise ValueError(f"{row.where}: expected {self.blank!r}, the blank of task.blank, in {shown(before)}")
        filled = tuple(f"{before}{choice}" for choice in question.choices)
        return replace(question, contexts=filled, choices=(after.strip(),) * len(filled))

    def offered(self, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the labels, () where the row has none, and the texts of the choices."""
        labels: tuple[str, ...] = ()
        if len(self.choices) > 1:
            check_columns(row, self.choices)
            cells = [row.cells[column] for column in self.choices]
            while cells and cells[-1] in (None, ""):  # a row of fewer choices
                cells.pop()
        else:
            labels, cells = _parts(row, self.choices[0], filled(row, self.choices[0]))
        texts = tuple(text_of(row, f"choice {number}", cell) for number, cell in enumerate(cells, start=1))
        if len(texts) < 2:
            raise ValueError(f"{row.where}: expected two choices or more, found {shown(list(texts))}")
        empty = [number for number, text in enumerate(texts, start=1) if not text.strip()]
        if empty:
            raise ValueError(f"{row.where}: expected a text in choice {empty[0]}, found nothing")
        return labels, texts

    def place(self, row: Row, labels: Sequence[str], texts: Sequence[str]) -> int | None:
        """Return the place of the right choice; None where the row has no answer."""
        assert self.label is not None
        name = answer_name(row.cells[self.label])
        if name is None:
            return None
        if self.by_index:
            names: Sequence[str] = [str(place) for place in range(len(texts))]
        else:
            names = next((each for each in (labels, self.names[: len(texts)], texts) if name in each), ())
        if name not in names or names.count(name) > 1:
            known = names or labels or self.names[: len(texts)] or texts
            raise ValueError(
                f"{row.where}: the answer {shown(row.cells[self.label])} is none of the choices; expected one of "
                f"{', '.join(map(shown, known))}; task.labels=[A,B,...] names the places of choices, "
                "task.label_as=index counts them from 0"
            )
        return names.index(name)


def answer_name(cell: object) -> str | None:
    """Return what a cell says is right; None for no answer."""
    name = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(spelled(cell)).strip()
    return None if name in NO_ANSWER else name


def _parts(row: Row, column: str, cell: object) -> tuple[tuple[str, ...], list[object]]:
    """Return labels and texts of a cell that holds all choices."""
    if isinstance(cell, str) and cell.lstrip().startswith(("[", "{")):  # of a CSV file
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise ValueError(f"{row.where}: column {column!r} is no list in JSON: {error}") from error
    if isinstance(cell, list | tuple) and cell and all(isinstance(item, Mapping) for item in cell):
        cell = {key: [item.get(key) for item in cell] for key in ("text", "label") if key in cell[0]}
    if isinstance(cell, Mapping) and isinstance(cell.get("text"), list | tuple):
        labels = [answer_name(label) or "" for label in cell.get("label") or ()]
        if labels and len(labels) != len(cell["text"]):
            raise ValueError(f"{row.where}: column {column!r} has {len(labels)} labels for {len(cell['text'])} texts")
        return tuple(labels), list(cell["text"])
    if isinstance(cell, Mapping) and "text" in cell:
        raise ValueError(f"{row.where}: expected a list of texts in column {column!r}, found {shown(cell['text'])}")
    if isinstance(cell, Mapping):
        named = {str(name): text for name, text in cell.items() if text is not None}
        return tuple(named), list(named.values())
    if isinstance(cell, list | tuple):
        return (), list(cell)
    raise ValueError(
        f"{row.where}: expected a list of choices in column {column!r}, found {shown(cell)}; choices in columns of "
        "their own are named one by one, task.choices=[choice1,choice2]"
    )


def questions(rows: Iterable[Row], how: Choosing, source: str) -> Iterator[Question]:
    """Yield the question of each row of `source`; rows without an answer are left out, and their number is said."""
    every = dropped = 0
    for row in rows:
        question = how.question(row)
        every += 1
        if question is None:
            dropped += 1
        else:
            yield question
    if not every:
        raise ValueError(f"{source} holds no row")
    if dropped:
        warn(f"{source}: {dropped} rows have no answer and are left out")


def place_names(rows: Iterable[Row], how: Choosing) -> tuple[str, ...]:
    """Return the names that answers have for the places of choices; () where choices are named by row or by text.

    Digits count from 0, unless there is no 0 and a row whose answer is the number of its choices.
    """
    most, from_one = 0, False
    found: dict[str, Row] = {}
    for row in rows:
        check_columns(row, [how.label or ""])
        labels, texts = how.offered(row)
        name = answer_name(row.cells[how.label or ""])
        if name is None or name in labels or (name in texts and not name.isdigit() and len(name) > 1):
            continue
        most = max(most, len(texts))
        found.setdefault(name, row)
        from_one |= name == str(len(texts))
    if not found:
        return ()
    start = int(from_one and "0" not in found)
    if all(name.isdigit() for name in found):
        return tuple(str(number) for number in range(start, start + most))
    for letters in (string.ascii_uppercase, string.ascii_lowercase):
        if all(len(name) == 1 and name in letters for name in found):
            return tuple(letters[:most])
    name, row = next((name, row) for name, row in found.items() if not name.isdigit())
    raise ValueError(
        f"{row.where}: the answer {shown(name)} in column {how.label!r} is neither a choice nor the name of its place; "
        "name the places in order by task.labels=[A,B,...]"
    )
